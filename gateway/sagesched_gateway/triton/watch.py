"""`TritonWatch`: is Triton ready, and does it still serve the same models? Asked once a second.

When Triton comes (back), or a model is loaded or unloaded, the catalog is read again before readiness is
reported, so that the first request already finds its model's profile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import grpc.aio

from sagesched_gateway.errors import GatewayError
from sagesched_gateway.kserve import SERVICE, ServerReadyRequest, ServerReadyResponse
from sagesched_gateway.triton.client import TritonClient
from sagesched_gateway.triton.metadata import ModelCatalog

_LOG = logging.getLogger(__name__)

PERIOD_S = 1.0
AWAY_S = 30.0
"""How long a request without a token waits for a Triton that is away before its caller hears of it."""

_TIMEOUT_S = 2.0


class TritonWatch:
    """Keeps the catalog up to date.

    Attributes:
        problem: why Triton cannot be used just now, one sentence; empty when it can.
    """

    def __init__(
        self, client: TritonClient, catalog: ModelCatalog, on_change: Callable[[], Awaitable[None]]
    ) -> None:
        """Prepare.

        Args:
            client: to ask.
            catalog: read again when Triton or its models changed.
            on_change: awaited after that; may raise a GatewayError, then all is tried again.
        """
        self.problem = "Triton has not been asked yet"
        self._client = client
        self._catalog = catalog
        self._on_change = on_change
        self._fingerprint: bytes | None = None
        self._looking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PERIOD_S)

    async def until_ready(self) -> bool:
        """Ask until Triton is ready, for at most `AWAY_S`; returns whether it is."""
        try:
            async with asyncio.timeout(AWAY_S):
                await self.look()
                while self.problem:
                    await asyncio.sleep(PERIOD_S)
                    await self.look()
        except TimeoutError:
            return False
        return True

    async def look(self) -> None:
        """Ask once and take the consequences; who comes while somebody asks takes that answer."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        problem = await self._find_problem()
        if problem != self.problem:
            _LOG.log(logging.WARNING if problem else logging.INFO, "%s", problem or "Triton is ready")
        self.problem = problem

    async def _find_problem(self) -> str:
        try:
            request: bytes = ServerReadyRequest().SerializeToString()
            answer = await self._client.unary(f"/{SERVICE}/ServerReady", request, timeout_s=_TIMEOUT_S)
            if not ServerReadyResponse.FromString(answer).ready:
                self._fingerprint = None
                return "Triton is not ready yet"
            self._client.prepare()
            fingerprint = await self._catalog.fingerprint()
            if fingerprint != self._fingerprint:
                await self._catalog.load()
                await self._on_change()
                self._fingerprint = fingerprint
        except grpc.aio.AioRpcError as error:
            self._fingerprint = None
            return self._client.error_of(error).message
        except GatewayError as error:
            self._fingerprint = None
            return error.message
        return ""
