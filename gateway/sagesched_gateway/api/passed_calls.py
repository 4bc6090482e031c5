"""`PassedCalls`: what is under way of calls that are only passed on to Triton, for a drain to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LOOK_EACH_S = 0.1


class PassedOn(Protocol):
    """A stream that is passed on."""

    def is_busy(self, now: float) -> bool:
        """Whether answers are still to come, as far as can be told at the loop's time `now`."""
        ...


class PassedCalls:
    """Of one gateway."""

    def __init__(self) -> None:
        self._num_calls = 0
        self._streams: set[PassedOn] = set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A call with one answer is under way."""
        self._num_calls += 1
        try:
            yield
        finally:
            self._num_calls -= 1

    def opened(self, stream: PassedOn) -> None:
        """A stream has begun."""
        self._streams.add(stream)

    def ended(self, stream: PassedOn) -> None:
        """It is over."""
        self._streams.discard(stream)

    def num_busy(self) -> int:
        """Calls under way, streams without answers to come not counted."""
        now = asyncio.get_running_loop().time()
        return self._num_calls + sum(stream.is_busy(now) for stream in self._streams)

    async def until_none(self, within_s: float) -> bool:
        """Wait until all are over; False where that takes longer."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + within_s
        while self.num_busy():
            if loop.time() >= ends_at:
                return False
            await asyncio.sleep(LOOK_EACH_S)
        return True
