"""`Fights`: notices when somebody keeps changing what we keep putting right, at once or later."""

from __future__ import annotations

from collections import defaultdict, deque

_WITHIN_S = 600.0
_MANY = 5
_PAUSE_S = 60.0
NOT_KEPT_PAUSE_S = 300.0

ChildKey = tuple[str, str, str]
"""(kind, namespace, name)."""


class Fights:
    """Repairs per child; after several within ten minutes there is a pause, and the pool says so."""

    def __init__(self) -> None:
        self._repairs: dict[ChildKey, deque[float]] = defaultdict(deque)
        self._not_kept: dict[ChildKey, tuple[str, str, float]] = {}
        self._written: dict[ChildKey, tuple[str, float]] = {}  # the oldest first

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

    def wrote(self, child: ChildKey, wanted_hash: str, difference: str, now: float) -> None:
        """A child was written; `difference`: what the server gave back otherwise; empty for none."""
        self._written.pop(child, None)
        self._written[child] = wanted_hash, now
        while self._written[oldest := next(iter(self._written))][1] < now - _WITHIN_S:
            del self._written[oldest]
        if difference:
            self._not_kept[child] = (wanted_hash, difference, now)
        else:
            self._not_kept.pop(child, None)

    def is_undone(self, child: ChildKey, wanted_hash: str) -> bool:
        """Whether a child that is not as wanted was last written just so: another operator is at it."""
        return self._written.get(child, ("", 0.0))[0] == wanted_hash

    def not_kept_pause_s(self, child: ChildKey, wanted_hash: str, difference: str, now: float) -> float:
        """How long not to write again what was not kept the last time; 0 for not at all."""
        known = self._not_kept.get(child)
        if known is None or known[:2] != (wanted_hash, difference):
            return 0.0
        return max(known[2] + NOT_KEPT_PAUSE_S - now, 0.0)
