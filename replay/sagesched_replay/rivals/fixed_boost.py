"""`fixed-boost`: Gittins-Boost with one tail rate for ever.

    key = arrival − boost_γ(S),  γ fixed                             [seconds]

What the theory of γ-Boost has (Yu, Scully: strongly tail-optimal scheduling in the light-tailed M/G/1; Li et
al., arXiv 2606.18431, for LLMs): γ is the decay rate of the response time's tail at a given load. The
gateway's default lets γ follow the backlog instead.

*Left open*: γ, which theory derives from the load; benches sweep it (0.005, 0.01, 0.02, 0.05 /s). The row
holds boosts on a grid of an eighth of an octave, and the view takes the point nearest to γ per engine step,
so γ is met to within 4.5 %.
"""

from __future__ import annotations

import math

import numpy as np

from sagesched_gateway.scheduling.boost import gittins_boost
from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

POINTS_PER_OCTAVE = 8
OCTAVES = (-18, -6)
GRID: FloatArray = 2.0 ** (
    np.arange(OCTAVES[0] * POINTS_PER_OCTAVE, OCTAVES[1] * POINTS_PER_OCTAVE + 1) / POINTS_PER_OCTAVE
)
STEP_TOLERANCE = 0.1


class FixedBoost(Policy):
    """Arrival minus a head start at a fixed tail rate."""

    name = "fixed-boost"
    num_columns = GRID.size

    def __init__(self, gamma_per_s: float = 0.02) -> None:
        """Take γ, 1/s; raises ValueError where it is not positive."""
        if not gamma_per_s > 0:
            raise ValueError(f"gamma must be positive, got {gamma_per_s}")
        self._gamma_per_s = gamma_per_s
        self._view = KeyView(column=0, arrival_weight=1.0, scale=0.0)

    def row(self, facts: JobFacts) -> FloatArray:
        """Boosts in engine steps, one per grid point."""
        return gittins_boost(facts.steps, facts.weights, GRID)

    def view(self, moment: Moment) -> KeyView:
        """The grid point nearest to γ at the engine's speed, scaled to seconds."""
        step_s = -self._view.scale
        if abs(moment.iteration_s - step_s) > STEP_TOLERANCE * step_s:
            octave = math.log2(self._gamma_per_s * moment.iteration_s)
            column = round((octave - OCTAVES[0]) * POINTS_PER_OCTAVE)
            column = min(max(column, 0), GRID.size - 1)
            self._view = KeyView(column, arrival_weight=1.0, scale=-moment.iteration_s)
        return self._view
