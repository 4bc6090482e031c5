"""`amin`: count on the lower bound, cancel when that was too little (Chen, Ye, Zhou, arXiv 2508.14544).

    key = b, b = l at first; ties by arrival                         [tokens]
    start while feasible with e = b at every predicted completion    (`feasibility`)
    when KV would overflow: cancel the smallest b first until it fits (`eviction`), b := generated + 1

with l the lower quantile of the predicted length. A cancelled job waits again with the larger bound and
starts from scratch later. It needs the lower end of the interval only, however wide the interval is.

What the paper leaves open. Running past b: such a job counts as ending with its next token, and its b for the
choice of whom to cancel is what it has generated. Ties: the later arrival goes first. Repeated cancelling:
`max_evictions`. The other order (`evict_first` largest) is there to compare: it throws away far more.

The check comes on top of the ledger's headroom, since on a real engine a restart is not free: without it
(`kv_headroom_iterations` 0, the paper's rule) jobs are admitted to the brim and cancelled again iterations
later.

Only where the engine grows KV as it goes: where it reserves `max_tokens` ahead, nothing overflows, that is
what counts, and nothing is cancelled.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView
from sagesched_gateway.scheduling.settings import EvictFirst
from sagesched_predictor.distribution import LengthDistribution

_BY_BOUND = KeyView()


class AMin(Policy):
    """Smallest running lower bound first, admitted by it; cancels on overflow."""

    name = "amin"
    may_pass = False
    has_bounds = True

    def __init__(
        self,
        lower_quantile: float = 0.1,
        evict_first: EvictFirst = EvictFirst.SMALLEST,
        max_evictions: int = 3,
    ) -> None:
        self._quantile = lower_quantile
        self.evict_first = evict_first
        self.max_evictions = max_evictions

    def bound(self, lengths: LengthDistribution, least_tokens: int) -> int:
        """The lower end of the interval, raised to what is known already."""
        return max(round(lengths.quantile(self._quantile)), least_tokens)

    def row(self, facts: JobFacts) -> FloatArray:
        """The lower bound."""
        return np.array([float(facts.bound or 0)])

    def view(self, moment: Moment) -> KeyView:
        """By bound, always."""
        return _BY_BOUND
