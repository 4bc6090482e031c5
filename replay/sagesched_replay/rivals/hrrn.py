"""`hrrn`: highest response ratio next, as merged into SGLang (sgl-project/sglang pull request 32911).

    ratio = (wait + s) / s,  s ∝ uncached prompt tokens; largest first, ties by arrival
    key = −(now − arrival) / prompt tokens                           [seconds per token]

Shortest prompt first that ages in proportion to size, so nobody starves. The estimate s is prefill time,
taken as proportional to the uncached input; then the ratio is 1 + wait/s and its order is that of wait /
prompt tokens, whatever the constant. It predicts no output.

*Left open*: nothing that changes the order; without a prefix cache all of the prompt is uncached. The keys
cross each other as time passes, so all of them move before each decision.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView


class ByRatio(KeyView):
    """Wait over size; `scale` is the instant."""

    __slots__ = ()

    def keys(self, arrivals: FloatArray, rows: FloatArray) -> FloatArray:
        """Minus the ratios."""
        keys: FloatArray = (arrivals - self.scale) / rows[:, self.column]
        return keys

    def key(self, arrival_at: float, row: FloatArray) -> float:
        """Minus the ratio of one."""
        return (arrival_at - self.scale) / float(row[self.column])


class Hrrn(Policy):
    """Highest ratio of wait to prompt length first."""

    name = "hrrn"
    needs_oldest = True

    def row(self, facts: JobFacts) -> FloatArray:
        """Prompt tokens."""
        return np.array([float(facts.prompt_tokens)])

    def view(self, moment: Moment) -> KeyView:
        """Ratios as of now."""
        return ByRatio(scale=moment.now)
