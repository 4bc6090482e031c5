"""`Connection`: one HTTP/2 connection to a gRPC server, all of it on the event loop's thread.

Its streams are read as fast as the server writes: whoever reads a `MessageStream` reads it to its end, so
nothing is gained by holding the server back, and the windows of this side are as large as they may be. The
server's windows are kept.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import cast

import grpc
import hpack

from sagesched_gateway.triton.http2 import frames
from sagesched_gateway.triton.http2.stream import MessageStream

_REOPEN_BYTES = 2**28  # received on the connection before its window is opened again, far below its size
_LAST_STREAM_ID = 2**31 - 1
_PING_BYTES = 8
_SETTINGS = (
    (frames.HEADER_TABLE_SIZE, 0),
    (frames.ENABLE_PUSH, 0),
    (frames.INITIAL_WINDOW, frames.LARGEST_WINDOW),
)


@dataclass(slots=True)
class _Sending:
    """A request that the server's windows hold up.

    Attributes:
        rest: what is still to be sent.
        window: bytes that its stream may take.
    """

    rest: memoryview
    window: int


class Connection(asyncio.Protocol):
    """See the module's text.

    Attributes:
        ready: done when the server has spoken; fails where the connection is lost before that.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._rest = b""  # of a frame that has not come whole
        self._block = b""  # of headers that have not come whole
        self._block_flags = 0
        self._streams: dict[int, MessageStream] = {}
        self._sending: dict[int, _Sending] = {}
        self._waiting: deque[tuple[MessageStream, bytes, bytes]] = deque()  # beyond the server's most streams
        self._next_id = 1
        self._is_going = False  # no new streams
        self._most_streams = _LAST_STREAM_ID
        self._max_frame = frames.FIRST_MAX_FRAME
        self._first_window = frames.FIRST_WINDOW  # of a stream
        self._window = frames.FIRST_WINDOW  # of the connection
        self._received = 0  # since its window was last opened

    @property
    def takes_streams(self) -> bool:
        """Whether new streams may be opened."""
        return not self._is_going and self._next_id <= _LAST_STREAM_ID

    def open(self, stream: MessageStream, block: bytes, body: bytes) -> None:
        """Send a request, whole: its headers, its one message and the end.

        Args:
            stream: takes the answer.
            block: all headers.
            body: the message behind its prefix.
        """
        if len(self._streams) >= self._most_streams:
            self._waiting.append((stream, block, body))
            return
        stream_id, size = self._next_id, len(body)
        self._next_id += 2
        self._streams[stream_id] = stream
        stream.opened(self, stream_id)
        if len(block) > self._max_frame or size > min(self._max_frame, self._first_window, self._window):
            self._write(self._headers_of(stream_id, block))
            self._sending[stream_id] = _Sending(memoryview(body), self._first_window)
            self._send_on()
            return
        self._window -= size
        headers = frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block)
        self._write(headers + frames.frame(frames.DATA, frames.END_STREAM, stream_id, body))

    def reset(self, stream_id: int) -> None:
        """End a stream at once."""
        if self._forget(stream_id) is not None:
            self._write(frames.frame(frames.RST_STREAM, 0, stream_id, frames.CANCEL.to_bytes(4, "big")))
            self._go_on()

    def close(self) -> None:
        """Close it; streams still open end."""
        self._is_going = True
        if self._transport is not None:
            self._transport.close()

    # --- The event loop's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce this side."""
        self._transport = cast(asyncio.Transport, transport)
        grown = frames.window_update(0, frames.LARGEST_WINDOW - frames.FIRST_WINDOW)
        self._write(frames.PREFACE + frames.settings_frame(_SETTINGS) + grown)

    def data_received(self, data: bytes) -> None:
        """Take frames apart. Runs for every token of every stream."""
        if self._rest:
            data = self._rest + data
        position, end, unpack = 0, len(data), frames.HEAD.unpack_from
        try:
            while end - position >= 9:
                upper, lower, kind, flags, stream_id = unpack(data, position)
                begin = position + 9
                after = begin + (upper << 8 | lower)
                if after > end:
                    if after - begin > frames.FIRST_MAX_FRAME:
                        raise ValueError("a frame larger than allowed")
                    break
                if kind == frames.DATA and not (flags or self._block_flags):
                    self._received += after - begin
                    stream = self._streams.get(stream_id)
                    if stream is not None:
                        stream.received(data[begin:after])
                else:
                    self._take(kind, flags, stream_id, data[begin:after])
                position = after
        except (ValueError, IndexError, hpack.HPACKError) as error:
            self._lose(f"Socket closed: what came is no HTTP/2 ({error})")
            return
        self._rest = data[position:]
        if self._received >= _REOPEN_BYTES:
            self._write(frames.window_update(0, self._received))
            self._received = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """All streams have ended."""
        self._lose(f"Socket closed ({exc or 'by Triton'})")

    # --- Frames ---

    def _take(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block_flags and kind != frames.CONTINUATION:
            raise ValueError("headers were interrupted")
        match kind:
            case frames.DATA:
                self._take_data(flags, stream_id, payload)
            case frames.HEADERS:
                self._block = frames.bare_payload(flags, payload, of_headers=True)
                self._take_headers(flags, flags, stream_id)
            case frames.CONTINUATION:
                self._block += payload
                self._take_headers(self._block_flags, flags, stream_id)
            case frames.RST_STREAM:
                stream = self._forget(stream_id)
                if stream is not None:
                    stream.was_reset(int.from_bytes(payload, "big"))
                self._go_on()
            case frames.SETTINGS if not flags & frames.ACK:
                self._take_settings(payload)
            case frames.PING if not flags & frames.ACK:
                self._write(frames.frame(frames.PING, frames.ACK, 0, payload[:_PING_BYTES]))
            case frames.GOAWAY:
                self._take_leave(int.from_bytes(payload[:4], "big"))
            case frames.WINDOW_UPDATE:
                self._widen(stream_id, int.from_bytes(payload, "big"))
            case frames.PUSH_PROMISE:
                raise ValueError("a push came")

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._received += len(payload)
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.received(frames.bare_payload(flags, payload))
            if flags & frames.END_STREAM:
                self._forget(stream_id)
                stream.ended(())
                self._go_on()

    def _take_headers(self, begun_with: int, flags: int, stream_id: int) -> None:
        if not flags & frames.END_HEADERS:
            self._block_flags = begun_with | frames.END_HEADERS  # not 0: more is to come
            return
        self._block_flags = 0
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        fields = frames.read_block(self._block)
        if not begun_with & frames.END_STREAM:
            stream.answered(fields)
            return
        if stream_id in self._sending:  # an early end: what is left of the request is not wanted
            self.reset(stream_id)
        else:
            self._forget(stream_id)
        stream.ended(fields)
        self._go_on()

    def _take_settings(self, payload: bytes) -> None:
        for name, value in frames.read_settings(payload):
            match name:
                case frames.INITIAL_WINDOW:
                    for sending in self._sending.values():
                        sending.window += value - self._first_window
                    self._first_window = value
                case frames.MAX_FRAME:
                    self._max_frame = value
                case frames.MAX_STREAMS:
                    self._most_streams = value
        self._write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if not self.ready.done():
            self.ready.set_result(None)
        self._send_on()
        self._go_on()

    def _take_leave(self, last_id: int) -> None:
        """The server goes: it finishes what it has begun and takes no more."""
        self._is_going = True
        for stream_id in [stream_id for stream_id in self._streams if stream_id > last_id]:
            stream = self._forget(stream_id)
            if stream is not None:
                stream.failed(grpc.StatusCode.UNAVAILABLE, "GOAWAY received")
        self._go_on()

    def _widen(self, stream_id: int, size: int) -> None:
        if stream_id == 0:
            self._window += size
        elif stream_id in self._sending:
            self._sending[stream_id].window += size
        self._send_on()

    # --- Sending ---

    def _headers_of(self, stream_id: int, block: bytes) -> bytes:
        """Headers in as many frames as they need."""
        pieces = [block[at : at + self._max_frame] for at in range(0, len(block), self._max_frame)]
        last = len(pieces) - 1
        return b"".join(
            frames.frame(
                frames.CONTINUATION if number else frames.HEADERS,
                frames.END_HEADERS if number == last else 0,
                stream_id,
                piece,
            )
            for number, piece in enumerate(pieces)
        )

    def _send_on(self) -> None:
        """Send what the windows allow."""
        for stream_id, sending in list(self._sending.items()):
            while size := min(len(sending.rest), sending.window, self._window, self._max_frame):
                if size < 0:  # the server has taken leave back
                    break
                piece, sending.rest = sending.rest[:size], sending.rest[size:]
                sending.window -= size
                self._window -= size
                is_last = not sending.rest
                flags = frames.END_STREAM if is_last else 0
                self._write(frames.frame(frames.DATA, flags, stream_id, bytes(piece)))
            if not sending.rest:
                del self._sending[stream_id]

    def _go_on(self) -> None:
        """A place may be free, or all may be done."""
        while self._waiting and len(self._streams) < self._most_streams:
            stream, block, body = self._waiting.popleft()
            if stream.is_over:
                continue
            if self._is_going:
                stream.failed(grpc.StatusCode.UNAVAILABLE, "GOAWAY received")
            else:
                self.open(stream, block, body)
        if self._is_going and not self._streams:
            self.close()

    def _forget(self, stream_id: int) -> MessageStream | None:
        self._sending.pop(stream_id, None)
        return self._streams.pop(stream_id, None)

    def _lose(self, reason: str) -> None:
        streams = [*self._streams.values(), *(stream for stream, _, _ in self._waiting)]
        self._streams.clear()
        self._sending.clear()
        self._waiting.clear()
        self.close()
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(reason))
        for stream in streams:
            stream.failed(grpc.StatusCode.UNAVAILABLE, reason)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
