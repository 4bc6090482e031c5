"""How fast a queue really shortens, measured in the work that was predicted for it.

    rate = work of the jobs that left the queue to start / time during which something waited   [steps/s]

both over about `HORIZON_S`, with a prior of one step per iteration that counts for `PRIOR_S`. The work of a
queue, divided by this, is the time until all of it has started. One figure takes care of everything that a
sum of predicted shares ignores: predictions that are too short or too long, headroom kept free, pauses,
restarts, the share of other users of the engine.
"""

from __future__ import annotations

import math

HORIZON_S = 60.0
PRIOR_S = 5.0


class DrainRate:
    """Work that leaves a queue per second; told whenever the queue changes."""

    def __init__(self) -> None:
        self._steps = 0.0
        self._busy_s = 0.0
        self._num_left = 0.0
        self._seen_at = -math.inf
        self._waited = False

    def steps_per_s(self, iteration_s: float) -> float:
        """The rate, with the prior for an engine whose iterations take so long."""
        return (self._steps + PRIOR_S / iteration_s) / (self._busy_s + PRIOR_S)

    @property
    def steps_per_job(self) -> float:
        """Mean work of those that left the queue; 0 before any did."""
        return self._steps / self._num_left if self._num_left > 0 else 0.0

    def joined(self, now: float) -> None:
        """A job begins to wait."""
        self._pass_time(now)
        self._waited = True

    def left(self, now: float, steps: float | None, num_waiting: int) -> None:
        """A job waits no more, and so many still do; its work if it starts, None if it does not."""
        self._pass_time(now)
        if steps is not None:
            self._steps += steps
            self._num_left += 1.0
        self._waited = num_waiting > 0

    def _pass_time(self, now: float) -> None:
        passed_s = now - self._seen_at
        self._seen_at = now
        if self._waited and passed_s > 0.0:
            kept = math.exp(-passed_s / HORIZON_S)
            self._steps *= kept
            self._num_left *= kept
            self._busy_s = self._busy_s * kept + HORIZON_S * (1.0 - kept)
