"""`CapacityWatch`: asks the engine how it is, often while requests wait, now and then while it has room.

With room to spare nothing depends on the answer, and asking costs both processes milliseconds that a first
token could use: then it is asked when it has been busy for a while, or has become idle. While it idles it is
not asked at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sagesched_gateway.dispatch.capacity import CapacityModel
from sagesched_gateway.dispatch.gauge_sense import Ours
from sagesched_gateway.dispatch.ports import EngineProbe
from sagesched_gateway.errors import GatewayError

_LOG = logging.getLogger(__name__)

PERIOD_S = 0.2
"""Between two looks while requests wait: the engine refreshes its gauges each 100 ms."""

RELAXED_PERIOD_S = 1.0
"""Between two looks while the engine has room."""

TICK_S = 0.05
"""How soon a change between these is noticed; a look at two numbers of our own."""

SETTLED_TICKS = 3
"""Busy for so long, it is no longer about a first token alone."""


class CapacityWatch:
    """Keeps a `CapacityModel` up to date."""

    def __init__(
        self,
        probe: EngineProbe,
        model: CapacityModel,
        *,
        is_busy: Callable[[], bool],
        is_full: Callable[[], bool],
        ours: Callable[[], Ours],
        changed: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            probe: reads the engine.
            model: is told.
            is_busy: whether requests are in the engine now.
            is_full: whether requests wait for it.
            ours: what this gateway has in it now.
            changed: called when the model has a new capacity.
        """
        self._probe = probe
        self._model = model
        self._is_busy = is_busy
        self._is_full = is_full
        self._ours = ours
        self._changed = changed
        self._was_stale = False
        self._num_strangers = 0

    async def read_limits(self) -> None:
        """Ask configuration and metrics once, at the start and whenever Triton came back with another engine.

        Raises:
            UpstreamUnavailableError: Triton cannot be asked.
        """
        limits = await self._probe.limits()
        self._model.restarted()
        self._model.told_limits(limits)
        await self._look(busy=False)
        self._changed()

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        looked_at = -RELAXED_PERIOD_S
        num_busy = 0  # ticks in a row at which it was busy
        is_unbroken = has_worked = False  # at each tick, at any tick since the last look
        while True:
            busy, full = self._is_busy(), self._is_full()
            num_busy = num_busy + 1 if busy else 0
            is_unbroken, has_worked = is_unbroken and busy, has_worked or busy
            is_convenient = full or not busy or num_busy >= SETTLED_TICKS
            period_s = PERIOD_S if full or (busy and not is_unbroken) else RELAXED_PERIOD_S
            if has_worked and is_convenient and loop.time() >= looked_at + period_s:
                looked_at = loop.time()
                if await self._look(busy=is_unbroken):
                    self._changed()
                is_unbroken, has_worked = busy, False
            await asyncio.sleep(TICK_S)

    async def _look(self, *, busy: bool) -> bool:
        try:
            gauges = await self._probe.gauges()
        except GatewayError as error:
            _LOG.warning("cannot read the engine's gauges: %s", error.message)
            return False
        if gauges is None:
            return False
        now = asyncio.get_running_loop().time()
        has_changed = self._model.saw_gauges(gauges, now, busy=busy, ours=self._ours())
        self._tell_doubts()
        return has_changed

    def _tell_doubts(self) -> None:
        """Log what is odd about the gauges, once when it begins and once when it ends."""
        sense = self._model.sense
        if sense.is_stale != self._was_stale:
            self._was_stale = sense.is_stale
            if sense.is_stale:
                _LOG.warning("the engine's metrics stand still while it works; measured waits count instead")
            else:
                _LOG.info("the engine's metrics move again")
        if sense.strangers != self._num_strangers:
            if not self._num_strangers:
                _LOG.warning(
                    "the engine holds %d requests that did not come through here: others reach it directly, "
                    "or its metrics count too much; they are counted in",
                    sense.strangers,
                )
            elif not sense.strangers:
                _LOG.info("all requests in the engine came through here again")
            self._num_strangers = sense.strangers
