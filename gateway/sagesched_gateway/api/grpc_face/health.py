"""`grpc.health.v1.Health`: Check, as Triton has it, and Watch, which Triton lacks.

Both ignore the service's name, as Triton does, and say SERVING where this gateway should be given work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from sagesched_gateway.api.grpc_face.passthrough import CallContext
from sagesched_gateway.api.sweeper import Sweeper
from sagesched_gateway.dispatch.ports import Readiness

SERVICE = "grpc.health.v1.Health"
CHECK = f"/{SERVICE}/Check"
WATCH = f"/{SERVICE}/Watch"

# HealthCheckResponse with field 1 (status).
SERVING = b"\x08\x01"
NOT_SERVING = b"\x08\x02"


class HealthFace(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the handlers of both methods; `look` tells watchers of a change."""

    def __init__(
        self, readiness: Readiness, sweeper: Sweeper, ask_triton: Callable[[bytes], Awaitable[bytes]]
    ) -> None:
        """Prepare.

        Args:
            readiness: of this gateway.
            sweeper: makes it look about once a second.
            ask_triton: passes a Check on; answers NOT_SERVING rather than failing.
        """
        self._readiness = readiness
        self._ask_triton = ask_triton
        self._watchers: set[asyncio.Event] = set()
        self._was_ready = readiness.is_ready
        self._is_closed = False
        self._handlers = {
            CHECK: grpc.unary_unary_rpc_method_handler(self._check),
            WATCH: grpc.unary_stream_rpc_method_handler(self._watch),
        }
        sweeper.add(self)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method of this service."""
        return self._handlers.get(handler_call_details.method)

    def look(self, now: float = 0.0) -> None:
        """Tell those who watch where readiness has changed."""
        del now
        if self._readiness.is_ready is not self._was_ready:
            self._was_ready = self._readiness.is_ready
            self._tell()

    def close(self) -> None:
        """End what is watched, so that the server need not wait for it."""
        self._is_closed = True
        self._tell()

    def _tell(self) -> None:
        for news in self._watchers:
            news.set()

    async def _check(self, body: bytes, context: CallContext) -> bytes:
        return await self._ask_triton(body) if self._readiness.is_ready else NOT_SERVING

    async def _watch(self, _: bytes, context: CallContext) -> None:
        """The state now, then each change of it."""
        news = asyncio.Event()
        self._watchers.add(news)
        told: bytes | None = None
        try:
            while True:
                state = SERVING if self._readiness.is_ready else NOT_SERVING
                if state is not told:
                    await context.write(state)
                    told = state
                elif self._is_closed:
                    return
                else:
                    news.clear()
                    await news.wait()
        finally:
            self._watchers.discard(news)
