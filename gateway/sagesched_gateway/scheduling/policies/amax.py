"""`amax`: count on the upper bound of the predicted length (Chen, Ye, Zhou, arXiv 2508.14544).

    key = u; ties by arrival                                         [tokens]
    start while feasible with e = u at every predicted completion    (`feasibility`)

with u the upper quantile of the predicted length, clipped at `max_tokens`. Starts the longest prefix of the
order that is feasible and never cancels anything. The paper's u is never exceeded; a quantile is, and then
the job counts as ending with its next token, one token at a time, while the engine pauses whom it must.

Only where the engine grows KV as it goes: where it reserves `max_tokens` ahead, that is what counts.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView
from sagesched_predictor.distribution import LengthDistribution

_BY_BOUND = KeyView()


class AMax(Policy):
    """Smallest upper bound first, admitted by it."""

    name = "amax"
    may_pass = False
    has_bounds = True

    def __init__(self, upper_quantile: float = 0.9) -> None:
        self._quantile = upper_quantile

    def bound(self, lengths: LengthDistribution, least_tokens: int) -> int:
        """The upper end of the interval, and no less than what is known already."""
        return max(round(lengths.quantile(self._quantile)), least_tokens)

    def row(self, facts: JobFacts) -> FloatArray:
        """The upper bound."""
        return np.array([float(facts.bound or 0)])

    def view(self, moment: Moment) -> KeyView:
        """By bound, always."""
        return _BY_BOUND
