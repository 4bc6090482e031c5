"""`mean-length`: smallest expected output first; given true lengths (`sjf`), the shortest-first oracle.

    key = E[O]; ties by arrival                                      [tokens]

As `mean-cost` with the cost "output tokens" (SageSched's ablation "O"), without SSJF's age guard. Handed the
true length instead of a prediction it is `sjf`, the oracle that length-based papers compare with. It ignores
the prompt, so where KV memory is scarce it is not the best that a clairvoyant could do.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

_BY_LENGTH = KeyView()


class MeanLength(Policy):
    """Shortest expected output first."""

    name = "mean-length"

    def row(self, facts: JobFacts) -> FloatArray:
        """Expected output tokens."""
        return np.array([facts.mean_tokens])

    def view(self, moment: Moment) -> KeyView:
        """By length, always."""
        return _BY_LENGTH


class Sjf(MeanLength):
    """The same, under the name of the oracle: replay hands it the true length."""

    name = "sjf"
