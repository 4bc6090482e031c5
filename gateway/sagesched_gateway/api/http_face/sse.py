"""`EventStream`: one answer as server-sent events, to a caller who may be slow.

Events are handed to the connection without waiting for the caller, so that a slow one never holds up what
feeds the stream. What he has not taken piles up there, up to a limit; beyond it the connection is broken,
and the request behind it cancelled. `slow_readers.py` does the same to one who takes nothing at all.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Mapping

from aiohttp import hdrs, web

from sagesched_gateway.errors import SlowReaderError

EVENT_STREAM = "text/event-stream; charset=utf-8"

_NO_LINGER = struct.pack("ii", 1, 0)
_LOG = logging.getLogger(__name__)


class EventStream:
    """The answer to one request."""

    def __init__(self, request: web.Request, *, unread_bytes: int) -> None:
        """Nothing is sent yet.

        Args:
            request: the caller's.
            unread_bytes: most bytes that may wait for the caller.
        """
        self._request = request
        self._unread_bytes = unread_bytes
        self._response: web.StreamResponse | None = None

    @property
    def is_begun(self) -> bool:
        """Status and headers are on their way; errors can only be told as events."""
        return self._response is not None

    async def begin(self, headers: Mapping[str, str]) -> None:
        """Send status 200 and the headers."""
        transport = self._request.transport
        if transport is not None:
            # Writes then return at once until more than this waits.
            transport.set_write_buffer_limits(high=self._unread_bytes)
        self._response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: EVENT_STREAM, **headers})
        await self._response.prepare(self._request)

    async def send(self, payload: bytes) -> None:
        """Send one event of one line.

        Raises:
            ConnectionResetError: the caller is gone, or was too slow and is gone now.
        """
        await self.send_raw(b"data: " + payload + b"\n\n")

    async def send_raw(self, text: bytes) -> None:
        """Send text in the stream's own syntax, for example a comment; see `send`."""
        assert self._response is not None, "begun"
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the caller is gone")
        if transport.get_write_buffer_size() + len(text) > self._unread_bytes:
            break_off(self._request, f"more than {self._unread_bytes} bytes wait for the caller")
            raise ConnectionResetError("the caller was too slow")
        await self._response.write(text)

    async def end(self) -> web.StreamResponse:
        """Send the end; returns the response for the handler to return."""
        assert self._response is not None, "begun"
        transport = self._request.transport
        if transport is not None:
            transport.set_write_buffer_limits()
        await self._response.write_eof()
        return self._response


def break_off(request: web.Request, why: str) -> None:
    """Break the connection of a caller who does not take his answer; its handler gets cancelled."""
    where = f"{request.method} {request.path} from {request.remote}"
    _LOG.warning("%s: %s: %s", SlowReaderError.word, where, why)
    transport = request.transport
    if transport is not None:
        _forget_unsent(transport)
        transport.abort()


def _forget_unsent(transport: asyncio.Transport) -> None:
    """Have the kernel drop what it still holds, and tell the caller by a reset, when the connection ends."""
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
