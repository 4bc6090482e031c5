"""`MessageStream`: one gRPC call with one request, seen from both sides: its reader and its connection."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol
from urllib.parse import unquote

import grpc
import grpc.aio

from sagesched_gateway.triton.http2.frames import Fields

_PREFIX_BYTES = 5  # of a message: whether it is compressed, and its length
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_HTTP_CODES = {
    "400": grpc.StatusCode.INTERNAL,
    "401": grpc.StatusCode.UNAUTHENTICATED,
    "403": grpc.StatusCode.PERMISSION_DENIED,
    "404": grpc.StatusCode.UNIMPLEMENTED,
    "429": grpc.StatusCode.UNAVAILABLE,
    "502": grpc.StatusCode.UNAVAILABLE,
    "503": grpc.StatusCode.UNAVAILABLE,
    "504": grpc.StatusCode.UNAVAILABLE,
}
_RESET_CODES = {
    7: grpc.StatusCode.UNAVAILABLE,  # refused before anything was done
    8: grpc.StatusCode.CANCELLED,
    11: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class StreamResetError(Exception):
    """The stream was closed from this side."""


class Resets(Protocol):
    """The connection of a stream."""

    def reset(self, stream_id: int) -> None:
        """End a stream at once, and tell the server."""


class MessageStream:
    """Read it until `grpc.aio.EOF`; what has come stays readable whatever comes after it."""

    __slots__ = ("_box", "_connection", "_id", "_loop", "_partial", "_status", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._box: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._partial = bytearray()
        self._status: Exception | str | None = ""  # "" while it runs, None after a good end
        self._connection: Resets | None = None
        self._id = 0

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self._status != ""

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`.

        Raises:
            grpc.aio.AioRpcError: the server, or the connection, ended it badly.
            StreamResetError: `cancel` was called.
        """
        while not self._box:
            if self._status is None:
                return grpc.aio.EOF
            if isinstance(self._status, Exception):
                raise self._status
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._box.popleft()

    def cancel(self) -> bool:
        """End it from this side; False where it was over."""
        if self.is_over:
            return False
        self._end(StreamResetError())
        if self._connection is not None:
            self._connection.reset(self._id)
        return True

    # --- The connection's side ---

    def opened(self, connection: Resets, stream_id: int) -> None:
        """The request is on its way."""
        self._connection, self._id = connection, stream_id

    def received(self, payload: bytes) -> None:
        """Bytes of the answer; mostly one whole message."""
        size = len(payload) - _PREFIX_BYTES
        if not self._partial and size >= 0 and int.from_bytes(payload[:_PREFIX_BYTES], "big") == size:
            self._box.append(payload[_PREFIX_BYTES:])
            self._wake()
            return
        self._partial += payload
        self._take_apart()

    def answered(self, fields: Fields) -> None:
        """Headers came: those before the messages, or the last ones; see `ended`."""
        named = dict(fields)
        status = named.get(":status", "")
        if status != "200":
            code = _HTTP_CODES.get(status, grpc.StatusCode.UNKNOWN)
            self.failed(code, f"HTTP status {status or 'missing'} instead of gRPC")
            self._reset()

    def ended(self, fields: Fields) -> None:
        """The last headers came."""
        named = dict(fields)
        if "grpc-status" not in named:
            if ":status" in named:
                self.answered(fields)
            self.failed(grpc.StatusCode.INTERNAL, "the stream ended without a status")
            return
        number = named["grpc-status"]
        code = _CODES.get(int(number) if number.isdigit() else -1, grpc.StatusCode.UNKNOWN)
        if code is grpc.StatusCode.OK:
            self._end(None)
        else:
            self.failed(code, unquote(named.get("grpc-message", "")))

    def was_reset(self, reason: int) -> None:
        """The server broke it off."""
        code = _RESET_CODES.get(reason, grpc.StatusCode.INTERNAL)
        self.failed(code, f"Received RST_STREAM with error code {reason}")

    def failed(self, code: grpc.StatusCode, details: str) -> None:
        """It has ended badly."""
        nothing = grpc.aio.Metadata()
        self._end(grpc.aio.AioRpcError(code, nothing, nothing, details=details))

    def _take_apart(self) -> None:
        partial = self._partial
        while len(partial) >= _PREFIX_BYTES:
            if partial[0]:  # no compression was offered
                self.failed(grpc.StatusCode.INTERNAL, "a compressed message came")
                self._reset()
                return
            end = _PREFIX_BYTES + int.from_bytes(partial[1:_PREFIX_BYTES], "big")
            if len(partial) < end:
                return
            self._box.append(bytes(partial[_PREFIX_BYTES:end]))
            del partial[:end]
            self._wake()

    def _reset(self) -> None:
        if self._connection is not None:
            self._connection.reset(self._id)

    def _end(self, status: Exception | None) -> None:
        if not self.is_over:
            self._status = status
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
