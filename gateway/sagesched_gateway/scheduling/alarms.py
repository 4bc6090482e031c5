"""`Alarms`: one wake-up call for everything in the core that wants one.

Parts of the core set and clear their own alarm by name. The shell keeps a single one, the earliest, and is
told when that moves to an earlier instant or the one it was told has passed; waking too early is harmless.
"""

from __future__ import annotations

import math
from enum import StrEnum


class Alarm(StrEnum):
    """Who wants to be woken."""

    PREFILL = "prefill"
    OVERFLOW = "overflow"
    DEADLINE = "deadline"


class Alarms:
    """The earliest of several alarms."""

    def __init__(self) -> None:
        self._at: dict[Alarm, float] = {}
        self._told = math.inf
        self._changed = False

    def set(self, alarm: Alarm, at: float) -> None:
        """Want to be woken at this instant instead of another; infinity clears."""
        self._at[alarm] = at
        self._changed = True

    def woken(self) -> None:
        """The shell has woken the core and keeps no instant any more."""
        self._told = math.inf
        self._changed = True

    def news(self, now: float) -> float | None:
        """An instant that the shell must be told, None where what it knows will do."""
        if not self._changed and now < self._told:
            return None
        self._changed = False
        # What has passed is over: whoever wanted it was asked in this very event.
        earliest = min((at for at in self._at.values() if at > now), default=math.inf)
        if earliest < self._told or self._told <= now:
            self._told = earliest
            return earliest if earliest < math.inf else None
        return None
