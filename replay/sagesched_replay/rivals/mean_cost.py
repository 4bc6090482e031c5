"""`mean-cost`: smallest expected memory-time first.

    key = E[C(I, O)],  C(I, O) = O²/2 + I·O; ties by arrival         [KV-token-steps]

The comparison of the SageSched paper (arXiv 2603.07917, section 4.4, "Mean"), and what theory prefers where
nothing is preempted: for a single server without preemption the order by expected size is optimal for the
mean (M. Rothkopf, 1966), and Gittins gains only where a request that turns out long can be put aside.

*Left open by the paper*: nothing; the distribution is the same as that of `sagesched`.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.cost import kv_token_steps
from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

_BY_COST = KeyView()


class MeanCost(Policy):
    """Smallest expected cost first."""

    name = "mean-cost"

    def row(self, facts: JobFacts) -> FloatArray:
        """Expected KV-token-steps."""
        return np.array([float(kv_token_steps(float(facts.prompt_tokens), facts.tokens) @ facts.weights)])

    def view(self, moment: Moment) -> KeyView:
        """By cost, always."""
        return _BY_COST
