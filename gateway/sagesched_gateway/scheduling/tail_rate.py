"""γ(t), the tail rate of gittins-boost: one grid for all requests, one point of it in force at a time.

    γ = tail_weight / backlog        [1/steps; tail_weight is dimensionless, backlog in engine steps]

Measured in steps the engine's speed cancels: `tail_weight / backlog seconds` in 1/s is the same number times
`iteration_s`. Boosts are computed once per job for the whole grid; a change of γ only picks another column.

*The grid* is geometric, 2^−16 … 2^0 per step with ratio √2 (33 points).
- Lower end 2^−16: the backlog counts for at most 65,536 steps (eleven minutes at 10 ms). Without a lower end
  a long request could wait without bound in a long overload; with it, a waiting request A is overtaken by B
  only if B arrives within boost_{γ_min}(B) of A, and among requests of known size within the difference of
  their boosts at γ_min. Ten minutes is beyond what callers wait, so the limit costs nothing in the regime
  that order can still help.
- Upper end 1 per step: the backlog counts for at least one step, so a near-empty queue is served by arrival
  to within four steps (the boost of the smallest possible request, s ≈ 0.02 steps, is 3.9 steps).
- Ratio √2: the order changes slowly with γ (doubling `tail_weight` moves the mean by some 30 %), while each
  point costs one row of the boost's matrix; finer gains nothing visible, coarser makes the knob itself
  coarse.

*Hysteresis*: γ moves only when the wanted value lies a whole grid step away from the one in force; then to
the nearest point. A backlog that trembles around a boundary between two points re-keys nothing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

POINTS_PER_OCTAVE = 2
NUM_OCTAVES = 16
GAMMA_GRID: FloatArray = 2.0 ** (np.arange(-NUM_OCTAVES * POINTS_PER_OCTAVE, 1) / POINTS_PER_OCTAVE)
GAMMA_GRID.flags.writeable = False
GAMMA_MIN = float(GAMMA_GRID[0])
GAMMA_MAX = float(GAMMA_GRID[-1])


class TailRate:
    """The grid point in force.

    Attributes:
        column: its index in `GAMMA_GRID`; the last (γ_max, first come first served) to begin with.
    """

    def __init__(self, tail_weight: float) -> None:
        """Take c.

        Raises:
            ValueError: c is not positive and finite.
        """
        if not (tail_weight > 0 and math.isfinite(tail_weight)):
            raise ValueError(f"tail weight must be positive and finite, got {tail_weight}")
        self._tail_weight = tail_weight
        self._settle(GAMMA_GRID.size - 1)

    @property
    def gamma(self) -> float:
        """The rate in force, 1 / engine steps."""
        return float(GAMMA_GRID[self.column])

    def follow(self, backlog_steps: float) -> int:
        """Take note of the backlog (engine steps); return the column now in force."""
        if not self._least_backlog < backlog_steps < self._most_backlog:
            self._settle(round(self._position(backlog_steps)))
        return self.column

    def _settle(self, column: int) -> None:
        """Put a column in force, and note between which backlogs it stays so: one grid step either side."""
        self.column = column
        backlog = self._tail_weight / float(GAMMA_GRID[column])
        step = 2.0 ** (1.0 / POINTS_PER_OCTAVE)
        self._least_backlog = -math.inf if column == GAMMA_GRID.size - 1 else backlog / step
        self._most_backlog = math.inf if column == 0 else backlog * step

    def _position(self, backlog_steps: float) -> float:
        """Where the wanted γ lies on the grid, in columns, clamped to its ends."""
        last = GAMMA_GRID.size - 1
        if backlog_steps <= 0.0:
            return float(last)
        position = last + POINTS_PER_OCTAVE * math.log2(self._tail_weight / backlog_steps)
        return min(max(position, 0.0), float(last))
