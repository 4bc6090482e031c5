"""The gateway's calls to Triton, and the translation of their failures.

All are in bytes: a request that is only passed on is never decoded. A generation uses `ModelStreamInfer` as a
call with one message and an end, on a connection of its own kind (`http2`); all else goes through grpc.aio.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from sagesched_gateway.errors import GatewayError, UpstreamError, UpstreamUnavailableError
from sagesched_gateway.kserve import SERVICE
from sagesched_gateway.request import Metadata
from sagesched_gateway.triton.http2.channel import StreamChannel
from sagesched_gateway.triton.http2.stream import MessageStream

STREAM_METHOD = f"/{SERVICE}/ModelStreamInfer"

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Triton answers client pings with GOAWAY, which kills live streams: send none (the default, said aloud).
    ("grpc.keepalive_time_ms", 2**31 - 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)

_ERRORS_AS_STATUS = ("triton_grpc_error", "true")
_MOST_METHODS = 64  # kept ready; callers may name any number of methods

# In-band errors carry text only; these are the beginnings of what Triton says for them.
_TEXT_CODES = (
    ("not at ready state", "UNAVAILABLE"),
    ("unknown model", "NOT_FOUND"),
    ("is not found", "NOT_FOUND"),
    ("unable to find shared memory region", "NOT_FOUND"),
    ("shutting down", "UNAVAILABLE"),
    ("maximum queue size", "UNAVAILABLE"),
)


_WRITE_FAILED = "Internal error from Core"  # of grpc.aio, for a stream that ended under a write

# What gRPC says where the connection, not Triton, is the trouble.
_DEAD_CONNECTION = (
    "failed to connect",
    "connection refused",
    "connection reset",
    "stream removed",
    "broken pipe",
    "socket",
    "goaway",
    _WRITE_FAILED.lower(),
)


class TritonClient:
    """Calls to one Triton server."""

    def __init__(self, address: str) -> None:
        """Open channels (lazily connected); must be called inside the running event loop.

        Args:
            address: `host:port` of Triton's gRPC endpoint.
        """
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._generations = StreamChannel(address, STREAM_METHOD)
        self._stream = self._channel.stream_stream(STREAM_METHOD)
        self._unary: dict[str, Any] = {}

    def generate(self, body: bytes, metadata: Metadata) -> MessageStream:
        """One request on a stream of its own, in bytes; errors of the backend come as the call's status."""
        return self._generations.call(body, (*metadata, _ERRORS_AS_STATUS))

    def prepare(self) -> None:
        """Connect for generations ahead of the first one."""
        self._generations.connect()

    def unary(
        self, path: str, body: bytes, *, metadata: Metadata = (), timeout_s: float | None = None
    ) -> Any:
        """A unary call in bytes; await it for the answer. Raises grpc.aio.AioRpcError when awaited."""
        method = self._unary.get(path)
        if method is None:
            method = self._channel.unary_unary(path)
            if len(self._unary) < _MOST_METHODS:
                self._unary[path] = method
        return method(body, metadata=metadata, timeout=timeout_s)

    def stream(self, *, metadata: Metadata = ()) -> Any:
        """A whole `ModelStreamInfer` stream in bytes, for requests that are only passed on."""
        return self._stream(metadata=metadata)

    async def close(self) -> None:
        """Close all connections; calls still open end."""
        await self._generations.close()
        await self._channel.close()

    def error_of(self, error: grpc.aio.AioRpcError) -> GatewayError:
        """A failed call in the gateway's words, Triton's own text kept."""
        code: grpc.StatusCode = error.code()
        details = error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE or details == _WRITE_FAILED:
            return UpstreamUnavailableError(self._unavailable(details))
        if "maximum queue size" in details.lower():
            return UpstreamUnavailableError(details)
        return UpstreamError(details, code=code.name)

    def _unavailable(self, details: str) -> str:
        """The words of gRPC for a dead connection tell nobody what to do; Triton's words stay."""
        lowered = details.lower()
        if any(word in lowered for word in _DEAD_CONNECTION):
            return f"cannot reach Triton at {self.address} ({details})"
        return details or f"Triton at {self.address} is unavailable"


def in_band_error(text: str) -> GatewayError:
    """An error reported inside the stream, which has no code: the code is guessed by text."""
    lowered = text.lower()
    for mark, code in _TEXT_CODES:
        if mark in lowered:
            if code == "UNAVAILABLE":
                return UpstreamUnavailableError(text)
            return UpstreamError(text, code=code, in_band=True)
    return UpstreamError(text, code="INVALID_ARGUMENT", in_band=True)
