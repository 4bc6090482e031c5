"""`CapacityWatch`: asks the engine how it is, a few times a second while it works, never while it idles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sagesched_gateway.dispatch.capacity import CapacityModel
from sagesched_gateway.dispatch.ports import EngineProbe
from sagesched_gateway.errors import GatewayError

_LOG = logging.getLogger(__name__)

PERIOD_S = 0.2
"""Between two looks: the engine refreshes its gauges each 100 ms."""

IDLE_PERIOD_S = 0.05
"""How soon the first request after a pause is noticed; a look at one number of our own."""


class CapacityWatch:
    """Keeps a `CapacityModel` up to date."""

    def __init__(
        self,
        probe: EngineProbe,
        model: CapacityModel,
        *,
        is_busy: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            probe: reads the engine.
            model: is told.
            is_busy: whether requests are in the engine now.
            changed: called when the model has a new capacity.
        """
        self._probe = probe
        self._model = model
        self._is_busy = is_busy
        self._changed = changed

    async def read_limits(self) -> None:
        """Ask configuration and metrics once, at the start and whenever Triton came back.

        Raises:
            UpstreamUnavailableError: Triton cannot be asked.
        """
        limits_changed = self._model.told_limits(await self._probe.limits())
        if await self._look(busy=False) or limits_changed:
            self._changed()

    async def run(self) -> None:
        """Watch until cancelled."""
        was_busy = False
        while True:
            busy = self._is_busy()
            if busy and await self._look(busy=was_busy):
                self._changed()
            was_busy = busy
            await asyncio.sleep(PERIOD_S if busy else IDLE_PERIOD_S)

    async def _look(self, *, busy: bool) -> bool:
        try:
            gauges = await self._probe.gauges()
        except GatewayError as error:
            _LOG.warning("cannot read the engine's gauges: %s", error.message)
            return False
        if gauges is None:
            return False
        return self._model.saw_gauges(gauges, asyncio.get_running_loop().time(), busy=busy)
