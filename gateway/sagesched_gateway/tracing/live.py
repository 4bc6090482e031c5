"""`LiveTracing`: traces as the settings want them just now; off, it costs one look at None per request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sagesched_gateway.dispatch.ports import RequestTrace
from sagesched_gateway.request import GenerationRequest
from sagesched_gateway.settings.sections.traces import TracesConfig

if TYPE_CHECKING:
    from sagesched_gateway.tracing.spans import Tracing

_LAST_S = 2.0


class LiveTracing:
    """dispatch's `Tracing`."""

    def __init__(self, config: TracesConfig) -> None:
        self._config = TracesConfig()
        self._tracing: Tracing | None = None
        self.use(config)

    def use(self, config: TracesConfig) -> None:
        """Trace by other settings from the next request on."""
        if config == self._config:
            return
        if self._tracing is not None:
            self._tracing.close()
            self._tracing = None
        self._config = config
        if config.endpoint is not None:
            # Imported here: OpenTelemetry takes a quarter of a second and memory that others save.
            from sagesched_gateway.tracing.spans import Tracing

            self._tracing = Tracing(config)

    def begin(self, request: GenerationRequest, age_s: float) -> RequestTrace | None:
        """See `dispatch.ports.Tracing`."""
        return None if self._tracing is None else self._tracing.begin(request, age_s)

    async def close(self) -> None:
        """Send what there is; where the collector is away that is given up."""
        tracing, self._tracing = self._tracing, None
        if tracing is not None:
            await asyncio.to_thread(tracing.close().join, _LAST_S)
