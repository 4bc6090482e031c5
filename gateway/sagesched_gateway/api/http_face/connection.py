"""`HttpListener` and its connections: how old they get, how long half a request may take, what bad ones hear.

aiohttp's server does the work; added is what it leaves open. A connection of age is told `Connection: close`
with its next answer, so that clients spread over new replicas while nothing running is cut; so is every one
once the gateway is about to go. A head that does
not become whole is not waited for. Bytes that are no HTTP get an error like any other: JSON and a word.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler

from sagesched_gateway.api.http_face.errors import error_response
from sagesched_gateway.errors import GatewayError, InternalError, InvalidRequestError, TooLargeError

HEAD_PATIENCE_S = 60.0
"""Longest time for the head of a request, and for the first request of a connection."""

_ANYWHERE = ("0.0.0.0", "::")
"""Every address of ours, as gRPC means it too: a pod may have none but one of IPv6."""

_BACKLOG = 1024
_JITTER = 0.1
_LOG = logging.getLogger(__name__)


class HttpConnection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_closes_at", "_head_patience_s", "_head_timer", "_is_running")

    def __init__(self, server: web.Server, *, age_s: float, head_patience_s: float, **options: Any) -> None:
        """Prepare.

        Args:
            server: aiohttp's.
            age_s: when to tell the client to reconnect, +-10 %; 0 for never.
            head_patience_s: see `HEAD_PATIENCE_S`.
            **options: aiohttp's.
        """
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        age_s *= random.uniform(1 - _JITTER, 1 + _JITTER)
        self._closes_at = self._loop.time() + age_s if age_s > 0 else float("inf")
        self._head_patience_s = head_patience_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_running = False

    @property
    def remaining_s(self) -> float:
        """Time until it is old; below 0 when it is."""
        return self._closes_at - self._loop.time()

    def began(self) -> None:
        """A request's head is whole."""
        self._is_running = True
        self._stop_waiting()

    def ended(self) -> None:
        """It was answered."""
        self._is_running = False

    def part(self) -> None:
        """End with the answer under way, at once where there is none."""
        if self._is_running:
            self.close()
        else:
            self.force_close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.Protocol."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if not self._is_running and self._head_timer is None:
            self._wait_for_head()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What could not be read as HTTP, or failed outside of all handlers; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer cannot become an error")
        error = _error(status, exc, message)
        if isinstance(error, InternalError):
            _LOG.error("a request failed outside of its handler", exc_info=exc)
        response = error_response(error)
        response.force_close()
        return response

    def _wait_for_head(self) -> None:
        self._head_timer = self._loop.call_later(self._head_patience_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.force_close()


class HttpListener:
    """Serves an application on one address."""

    def __init__(
        self,
        app: web.Application,
        *,
        options: Mapping[str, Any],
        connection_age_s: float = 0.0,
        head_patience_s: float = HEAD_PATIENCE_S,
        close_grace_s: float = 2.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare.

        Args:
            app: what to serve; it cannot be served by another listener too.
            options: aiohttp's, for each connection.
            connection_age_s: see `ListenConfig`.
            head_patience_s: see `HEAD_PATIENCE_S`.
            close_grace_s: how long `close` waits for handlers.
            tls: for each connection; None serves without TLS.
        """
        app.middlewares.insert(0, _note_request)
        app.on_response_prepare.append(self._part_from_the_old)
        self._runner = web.AppRunner(app, shutdown_timeout=close_grace_s)
        self._options = {**options, "age_s": connection_age_s, "head_patience_s": head_patience_s}
        self._listening: asyncio.Server | None = None
        self._tls = tls
        self._asks_to_reconnect = False

    async def start(self, address: str) -> str:
        """Start the application and listen.

        Args:
            address: `host:port`; port 0 takes a free one.

        Returns:
            The address, its port filled in.

        Raises:
            OSError: the address cannot be bound.
        """
        await self._runner.setup()
        server = self._runner.server
        assert server is not None, "set up"
        host, _, port = address.rpartition(":")
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                lambda: HttpConnection(server, **self._options),
                # Two families would get two free ports.
                _ANYWHERE if host == "0.0.0.0" and int(port) else host.strip("[]"),
                int(port),
                backlog=_BACKLOG,
                ssl=self._tls,
            )
        except OSError as error:
            raise OSError(f"cannot listen on {address}: {error.strerror or error}") from error
        return f"{host}:{self._listening.sockets[0].getsockname()[1]}"

    def ask_to_reconnect(self) -> None:
        """Every answer from now on says `Connection: close`."""
        self._asks_to_reconnect = True

    def part(self) -> None:
        """Stop listening; connections end at once where they are idle, else with the answer under way."""
        if self._listening is not None:
            self._listening.close()
        server = self._runner.server
        for connection in server.connections if server is not None else ():
            if isinstance(connection, HttpConnection):
                connection.part()

    async def _part_from_the_old(self, request: web.Request, response: web.StreamResponse) -> None:
        connection = request.protocol
        if not isinstance(connection, HttpConnection):
            return
        if self._asks_to_reconnect or connection.remaining_s <= 0:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    async def close(self) -> None:
        """Stop listening, give handlers their time, end the application."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()


@web.middleware
async def _note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    connection = request.protocol
    assert isinstance(connection, HttpConnection), "served by a listener"
    connection.began()
    try:
        return await handler(request)
    finally:
        connection.ended()


def _error(status: int, exc: BaseException | None, message: str | None) -> GatewayError:
    if isinstance(exc, LineTooLong):
        return TooLargeError(f"a line of the request's head is too long ({exc.message})")
    if isinstance(exc, UnicodeError):  # aiohttp quotes an unknown `Expect` in its refusal
        return InvalidRequestError("a header is not text that can be read")
    if status < 500:
        return InvalidRequestError(f"this is no HTTP request that can be read ({message})")
    return InternalError("the gateway failed to answer; its log has the reason")
