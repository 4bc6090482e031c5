"""`LiveTracing`: traces as the settings want them just now; off, it costs one look at None per request."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sagesched_gateway.dispatch.ports import RequestTrace
from sagesched_gateway.request import GenerationRequest
from sagesched_gateway.settings.sections.traces import TracesConfig

if TYPE_CHECKING:
    from sagesched_gateway.tracing.spans import Tracing

_LOG = logging.getLogger(__name__)

_OFF = TracesConfig()


class LiveTracing:
    """dispatch's `Tracing`."""

    def __init__(self, config: TracesConfig) -> None:
        """Start as `use` does; must be called inside the running event loop."""
        self._config = _OFF
        self._tracing: Tracing | None = None
        self._opening: asyncio.Task[None] | None = None
        self.use(config)

    @property
    def is_on(self) -> bool:
        """Requests that come now are traced, where they are sampled."""
        return self._tracing is not None

    def use(self, config: TracesConfig) -> None:
        """Trace by other settings, from a moment later on."""
        if config == self._config:
            return
        self._config = config
        if self._tracing is not None:
            self._tracing.close()
            self._tracing = None
        if config.endpoint is not None:
            self._opening = asyncio.get_running_loop().create_task(self._open(config))

    def begin(self, request: GenerationRequest, age_s: float, *, is_chat: bool) -> RequestTrace | None:
        """See `dispatch.ports.Tracing`."""
        return None if self._tracing is None else self._tracing.begin(request, age_s, is_chat=is_chat)

    async def started(self) -> None:
        """Wait until the settings are in effect."""
        if self._opening is not None:
            await self._opening

    async def close(self) -> None:
        """Send what there is; where the collector is away that is given up."""
        self._config = _OFF
        await self.started()
        tracing, self._tracing = self._tracing, None
        if tracing is not None:
            await asyncio.to_thread(tracing.close().join)

    async def _open(self, config: TracesConfig) -> None:
        try:
            tracing = await asyncio.to_thread(_load, config)
        except Exception:  # OpenTelemetry reads variables of its own, and refuses some
            _LOG.exception("traces: cannot begin, requests are served without")
            return
        if config is self._config:
            self._tracing = tracing
        else:
            tracing.close()


def _load(config: TracesConfig) -> Tracing:
    """In a thread: OpenTelemetry takes a quarter of a second to import, in which tokens would wait."""
    from sagesched_gateway.tracing.spans import Tracing

    return Tracing(config)
