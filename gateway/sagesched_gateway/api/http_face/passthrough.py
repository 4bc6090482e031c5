"""Everything of Triton's HTTP face that the gateway does not speak itself, passed on untouched.

Bodies are streamed both ways and stay as they are (compressed ones too); only headers that concern one hop
are dropped, and management calls are refused unless they are allowed. When the caller leaves, the connection
to Triton is closed, which is how Triton learns of it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestPayloadError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from sagesched_gateway.api.admin_gate import AdminGate
from sagesched_gateway.api.http_face.body import pieces_of
from sagesched_gateway.api.http_face.errors import caller_left
from sagesched_gateway.api.passed_calls import PassedCalls
from sagesched_gateway.errors import GatewayError, UpstreamUnavailableError

_LOG = logging.getLogger(__name__)

_HOP_BY_HOP = frozenset(
    name.lower()
    for name in (
        hdrs.CONNECTION,
        hdrs.EXPECT,  # answered by this server; Triton gets the body at once
        hdrs.HOST,  # the client sets its own
        hdrs.KEEP_ALIVE,
        hdrs.PROXY_AUTHENTICATE,
        hdrs.PROXY_AUTHORIZATION,
        hdrs.TE,
        hdrs.TRAILER,
        hdrs.TRANSFER_ENCODING,
        hdrs.UPGRADE,
    )
)
# Headers aiohttp's client would add of its own accord.
_NOT_ADDED = (hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE)
_METHODS = (hdrs.METH_GET, hdrs.METH_POST)
_CONNECT_TIMEOUT_S = 5.0


class Passthrough:
    """Forwards requests to Triton's HTTP endpoint."""

    def __init__(self, address: str, gate: AdminGate, *, most_bytes: int, passed: PassedCalls) -> None:
        """Remember where Triton is.

        Args:
            address: `host:port` of Triton's HTTP endpoint.
            gate: refuses management calls.
            most_bytes: largest body of a request.
            passed: counts what is under way.
        """
        self._passed = passed
        self._gate = gate
        self._most_bytes = most_bytes
        self._address = address
        self._base = f"http://{address}"
        self._session: aiohttp.ClientSession | None = None

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Hold connections to Triton while the application runs (an aiohttp cleanup context)."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
            auto_decompress=False,
            skip_auto_headers=_NOT_ADDED,
        )
        yield
        await self._session.close()

    async def forward(self, request: web.Request, body: bytes | None = None) -> web.StreamResponse:
        """Send the request to Triton and its answer back.

        Args:
            request: the caller's request.
            body: its body, where it was read already.

        Raises:
            ForbiddenError: it manages Triton, and that is not allowed here.
            HTTPMethodNotAllowed: it is a HEAD.
            TooLargeError, InvalidRequestError: as `read_body`.
            UpstreamUnavailableError: Triton cannot be reached, or hung up before it answered.
        """
        self._gate.check_http(request.method, request.rel_url.raw_path)
        if request.method == hdrs.METH_HEAD:
            # Triton takes none, and its refusal has a body, which no client can tell from the next answer.
            raise web.HTTPMethodNotAllowed(request.method, _METHODS)
        with self._passed.one():
            return await self._forward(request, body)

    async def _forward(self, request: web.Request, body: bytes | None) -> web.StreamResponse:
        assert self._session is not None, "the application is running"
        response: web.StreamResponse | None = None
        streamed = _Streamed(request, self._most_bytes)
        try:
            async with self._session.request(
                request.method,
                URL(self._base + request.raw_path, encoded=True),
                headers=_end_to_end(request.headers),
                data=body if body is not None else aiter(streamed) if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                response = web.StreamResponse(
                    status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers)
                )
                await _relay(answer, response, request)
        except aiohttp.ClientError as error:
            if caller_left(request):
                raise
            if response is None or not response.prepared:
                if streamed.error is not None:
                    raise streamed.error from error
                raise UpstreamUnavailableError(
                    f"cannot reach Triton's HTTP endpoint at {self._address} ({_reason(error)})"
                ) from error
            # Half an answer must not look like a whole one: break the connection.
            _LOG.warning("Triton hung up in the middle of %s %s: %s", request.method, request.path, error)
            if request.transport is not None:
                request.transport.abort()
        return response


class _Streamed:
    """The body of a request on its way to Triton.

    Attributes:
        error: what was wrong with it; the client that sends it only says that sending failed.
    """

    def __init__(self, request: web.Request, most_bytes: int) -> None:
        self._request = request
        self._most_bytes = most_bytes
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces_of(self._request, self._most_bytes):
                yield piece
        except (GatewayError, RequestPayloadError) as error:
            self.error = error
            raise


async def _relay(answer: aiohttp.ClientResponse, response: web.StreamResponse, request: web.Request) -> None:
    await response.prepare(request)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers meant for the other end: without those of one hop and those named by `Connection`."""
    named = {name.strip().lower() for name in headers.get(hdrs.CONNECTION, "").split(",")}
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP | named
    )


def _reason(error: aiohttp.ClientError) -> str:
    return str(error) or type(error).__name__
