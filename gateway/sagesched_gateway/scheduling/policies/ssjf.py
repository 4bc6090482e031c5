"""`ssjf`: speculative shortest job first (Qiu et al., arXiv 2404.08509).

    key = predicted output tokens; ties by arrival                   [tokens]

*Which point of the distribution.* The paper orders by the point estimate of a regression trained on squared
or absolute error (or by a class id). We have a distribution and take its **mean**: it is what squared error
estimates, and of all points it is the one that shortest-first without preemption wants. The median forgets
the tail, which is what delays others.

*Age guard* (an option, `age_guard`). The paper serves by age in any round where the longest-waiting job has
waited over 100 s or over ten times its own service time; the authors' simulator takes the *true* service time
there, which nobody has. Here it is predicted: prefill plus one step per expected output token.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import BY_ARRIVAL, KeyView

MAX_AGE_S = 100.0
MAX_AGE_SERVICES = 10.0

_BY_LENGTH = KeyView()


class Ssjf(Policy):
    """Shortest predicted output first."""

    name = "ssjf"

    def __init__(self, age_guard: bool = False) -> None:
        self.needs_oldest = age_guard

    def row(self, facts: JobFacts) -> FloatArray:
        """Expected output tokens."""
        return np.array([facts.mean_tokens])

    def view(self, moment: Moment) -> KeyView:
        """By length, or by age while the guard holds."""
        if moment.oldest is None:
            return _BY_LENGTH
        waited_s = moment.now - moment.oldest.arrival_at
        alone_s = (
            moment.oldest.prompt_tokens * moment.prefill_s_per_token
            + moment.oldest.mean_tokens * moment.iteration_s
        )
        too_old = waited_s > min(MAX_AGE_S, MAX_AGE_SERVICES * alone_s)
        return BY_ARRIVAL if too_old else _BY_LENGTH
