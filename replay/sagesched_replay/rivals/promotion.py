"""`promotion`: Gittins order, and whoever has waited a fixed time goes before all others.

    waited < T:   key = G(C(I, O))                                   [KV-token-steps]
    waited ≥ T:   key = arrival − `AHEAD`; before everybody who waited less

The usual cure for starvation: Clairvoyant (arXiv 2606.07248) serves a request as of its best class after T,
three times an expected short latency, 15 s by default. Order among the not yet promoted is that of
`sagesched`, the best for the mean among those that the gateway serves.

*Left open*: T, `promote_after_s`, 15 s as in Clairvoyant's code; benches sweep it. Once everybody in an
overload waits longer than T it is first come, first served.
"""

from __future__ import annotations

import math

import numpy as np

from sagesched_gateway.scheduling.cost import kv_token_steps
from sagesched_gateway.scheduling.gittins import gittins_index
from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

AHEAD = 1e12
"""Seconds that put the promoted before everybody else."""


class Promoting(KeyView):
    """By index; by arrival and before all those, what arrived at `scale` or earlier."""

    __slots__ = ()

    def keys(self, arrivals: FloatArray, rows: FloatArray) -> FloatArray:
        """Indices, or arrivals long ago."""
        keys: FloatArray = np.where(arrivals <= self.scale, arrivals - AHEAD, rows[:, self.column])
        return keys

    def key(self, arrival_at: float, row: FloatArray) -> float:
        """The index of one, or its arrival long ago."""
        return arrival_at - AHEAD if arrival_at <= self.scale else float(row[self.column])


class Promotion(Policy):
    """Gittins on cost with a promotion after a fixed wait."""

    name = "promotion"
    needs_oldest = True

    def __init__(self, promote_after_s: float = 15.0) -> None:
        """Take the wait; raises ValueError where it is not positive."""
        if not promote_after_s > 0:
            raise ValueError(f"the wait before a promotion must be positive, got {promote_after_s}")
        self._promote_after_s = promote_after_s

    def row(self, facts: JobFacts) -> FloatArray:
        """The index at nothing consumed."""
        costs = kv_token_steps(float(facts.prompt_tokens), facts.tokens)
        return np.array([gittins_index(costs, facts.weights)])

    def view(self, moment: Moment) -> KeyView:
        """Who is promoted now; the same view as long as nobody is."""
        since = moment.now - self._promote_after_s
        if moment.oldest is None or moment.oldest.arrival_at > since:
            return Promoting(scale=-math.inf)
        return Promoting(scale=since)
