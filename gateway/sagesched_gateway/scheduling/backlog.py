"""`Backlog`: expected service of everything that waits, kept as jobs come and go.

    backlog = Σ over waiting jobs of E[S]                        [engine steps; seconds = steps · iteration_s]

Work in flight is not part of it: what has started can no longer be reordered. The sum is exact again whenever
the queue runs empty or all jobs are costed again, so rounding cannot build up.
"""

from __future__ import annotations


class Backlog:
    """A running sum over the waiting jobs."""

    def __init__(self) -> None:
        self._steps = 0.0
        self._num_jobs = 0

    @property
    def steps(self) -> float:
        """Expected service of all waiting jobs, engine steps."""
        return max(self._steps, 0.0)

    def add(self, mean_steps: float) -> None:
        """A job began to wait."""
        self._steps += mean_steps
        self._num_jobs += 1

    def remove(self, mean_steps: float) -> None:
        """A job no longer waits; `mean_steps` as given to `add`."""
        self._num_jobs -= 1
        self._steps = self._steps - mean_steps if self._num_jobs else 0.0
