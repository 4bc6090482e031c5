"""`VirtualTime`: a clock that jumps from one due action to the next."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

LAST = 1
"""Priority of what must come after everything else that is due at the same instant."""


class VirtualTime:
    """Actions in order of their instants; ties by priority, then by the order in which they were planned.

    Attributes:
        now: instant of the action under way, seconds.
    """

    def __init__(self) -> None:
        """Start at 0 with nothing planned."""
        self.now = 0.0
        self._num_planned = 0
        self._planned: list[tuple[float, int, int, Callable[[], None]]] = []

    def at(self, instant: float, action: Callable[[], None], priority: int = 0) -> None:
        """Plan an action; an instant that has passed means now."""
        self._num_planned += 1
        heapq.heappush(self._planned, (max(instant, self.now), priority, self._num_planned, action))

    @property
    def next_at(self) -> float:
        """Instant of the next planned action; infinity where there is none."""
        return self._planned[0][0] if self._planned else math.inf

    def run(self) -> None:
        """Perform actions until none is planned."""
        while self._planned:
            self.now, _, _, action = heapq.heappop(self._planned)
            action()
