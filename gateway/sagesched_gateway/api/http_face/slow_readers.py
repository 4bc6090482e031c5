"""A middleware that breaks the connection of callers who take nothing of their answers for too long.

It sends the answer itself, so that its watch lasts until the last byte has left for the network; whatever
the answer is (events, one body, something passed on from Triton), a caller who stops reading holds neither
memory nor, where a request still runs, a place in the engine.

What a caller has taken is what his side has acknowledged: the kernel's buffer would hide megabytes, and by
its own account it moves in steps that a slow but honest reader needs minutes for.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sagesched_gateway.api.http_face.sse import break_off
from sagesched_gateway.settings.limits import Limits

_LOOKS = 4
"""A caller is looked at so many times within the time he has."""


def slow_reader_guard(limits: Limits) -> Middleware:
    """The middleware; the outermost, so that it sees every answer.

    Args:
        limits: how long a caller may take nothing while something waits for him (`slow_reader_s`).
    """

    @web.middleware
    async def send_under_watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        watch = _Watch(request, limits.slow_reader_s)
        try:
            response = await handler(request)
            await _send(request, response)
        finally:
            watch.stop()
        return response

    return send_under_watch


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    try:
        await response.prepare(request)
        await response.write_eof()
        transport = request.transport
        if transport is not None and transport.get_write_buffer_size() > 0:
            transport.set_write_buffer_limits(high=0)  # wait until all of it has left
            await request.writer.drain()
            transport.set_write_buffer_limits()
    except ConnectionError:
        pass  # aiohttp meets it again when it looks at the response, and knows what to do


class _Watch:
    """Looks now and then whether the caller has taken anything."""

    def __init__(self, request: web.Request, slow_reader_s: float) -> None:
        self._request = request
        self._limit_s = slow_reader_s
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._taken_at = self._loop.time()
        self._timer = self._loop.call_later(slow_reader_s / _LOOKS, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        transport, now = self._request.transport, self._loop.time()
        if transport is None or transport.is_closing():
            return
        waiting = transport.get_write_buffer_size() + _in_kernel(transport)
        taken = self._request.writer.output_size - waiting
        if waiting == 0 or taken > self._taken:
            self._taken, self._taken_at = taken, now
        elif now - self._taken_at >= self._limit_s:
            break_off(self._request, f"nothing of {waiting} bytes was taken for {self._limit_s:g} s")
            return
        self._timer = self._loop.call_later(self._limit_s / _LOOKS, self._look)


def _in_kernel(transport: asyncio.Transport) -> int:
    """Bytes that the kernel has taken over and the other side has not acknowledged."""
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0  # closed meanwhile
    return int(struct.unpack("i", answer)[0])
