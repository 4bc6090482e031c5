"""`Fights`: notices when somebody keeps changing what we keep putting right."""

from __future__ import annotations

from collections import defaultdict, deque

_WITHIN_S = 600.0
_MANY = 5
_PAUSE_S = 60.0

ChildKey = tuple[str, str, str]
"""(kind, namespace, name)."""


class Fights:
    """Repairs per child; after several within ten minutes there is a pause, and the pool says so."""

    def __init__(self) -> None:
        self._repairs: dict[ChildKey, deque[float]] = defaultdict(deque)

    def repaired(self, child: ChildKey, now: float) -> None:
        """A child was put right."""
        self._repairs[child].append(now)

    def pause_s(self, child: ChildKey, now: float) -> float:
        """How long to leave the child as it is; 0 for not at all."""
        repairs = self._repairs.get(child)
        if not repairs:
            return 0.0
        while repairs and repairs[0] < now - _WITHIN_S:
            repairs.popleft()
        if not repairs:
            del self._repairs[child]
            return 0.0
        return max(repairs[-1] + _PAUSE_S - now, 0.0) if len(repairs) >= _MANY else 0.0
