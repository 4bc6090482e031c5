"""`Sweeper`: looks at everything that stays open about once a second.

What is open too long without use, or not read, is found by looking at it from time to time rather than by a
timer per message, which every token would have to set and cancel.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

PERIOD_S = 1.0
_AT_ONCE = 500  # looked at before others get their turn


class Swept(Protocol):
    """Something that stays open."""

    def look(self, now: float) -> None:
        """Notice how things are at the loop's time `now`; must not wait and must not raise."""


class Sweeper:
    """One task for everything that was added."""

    def __init__(self, period_s: float = PERIOD_S) -> None:
        self._period_s = period_s
        self._swept: set[Swept] = set()

    def add(self, item: Swept) -> None:
        """Look at it from now on."""
        self._swept.add(item)

    def discard(self, item: Swept) -> None:
        """Look at it no more."""
        self._swept.discard(item)

    async def run(self) -> None:
        """Look around until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._period_s)
            for number, item in enumerate(list(self._swept), 1):
                if item in self._swept:
                    item.look(loop.time())
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
