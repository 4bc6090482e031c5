"""A connection fed by hand: cut anywhere, interrupted, given nonsense: whole messages or an error."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_gateway.triton.http2 import frames
from sagesched_gateway.triton.http2.connection import Connection
from sagesched_gateway.triton.http2.stream import MessageStream


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._is_closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True


def block(*fields: tuple[str, str]) -> bytes:
    """A header block without a table."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields)


ANSWER = block((":status", "200"), ("content-type", "application/grpc"))
GOOD_END = block(("grpc-status", "0"))


def message(text: bytes) -> bytes:
    """With its prefix."""
    return len(text).to_bytes(5, "big") + text


def data(payload: bytes, flags: int = 0, stream_id: int = 1) -> bytes:
    return frames.frame(frames.DATA, flags, stream_id, payload)


def headers(payload: bytes, flags: int = frames.END_HEADERS) -> bytes:
    return frames.frame(frames.HEADERS, flags, 1, payload)


LAST = headers(GOOD_END, frames.END_HEADERS | frames.END_STREAM)


class Conversation:
    """A connection with one stream open on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.transport = Transport()
        self.connection = Connection(self.loop)
        self.connection.connection_made(self.transport)
        self.stream = MessageStream(self.loop)
        self.connection.open(self.stream, b"", message(b"request"))

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        if self.connection.ready.done():
            self.connection.ready.exception()
        self.loop.close()

    def hear(self, *pieces: bytes) -> None:
        """The server speaks."""
        for piece in pieces:
            self.connection.data_received(piece)

    def messages(self) -> list[bytes]:
        """What the stream's reader gets, to the end; raises what it raises."""

        async def read() -> list[bytes]:
            answers = []
            while (answer := await self.stream.read()) is not grpc.aio.EOF:
                answers.append(answer)
            return answers

        return self.loop.run_until_complete(asyncio.wait_for(read(), 5))

    def code(self) -> grpc.StatusCode:
        """The status of a bad end."""
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            self.messages()
        return failed.value.code()


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_whatever_the_cuts_the_messages_come_whole(texts, draw):
    body = b"".join(map(message, texts))
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    said = frames.settings_frame(()) + headers(ANSWER)
    for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        said += data(body[begin:end])
    said += LAST
    places = sorted(draw.draw(st.lists(st.integers(0, len(said)), max_size=8)))
    with Conversation() as talk:
        talk.hear(*(said[begin:end] for begin, end in zip([0, *places], [*places, len(said)], strict=True)))
        assert talk.messages() == texts


@given(st.binary(max_size=200))
def test_nonsense_never_raises(nonsense):
    with Conversation() as talk:
        talk.hear(frames.settings_frame(()), nonsense)
        talk.connection.connection_lost(None)
        assert talk.stream.is_over


@given(
    st.lists(
        st.builds(
            frames.frame,
            st.integers(0, 12),
            st.integers(0, 255),
            st.sampled_from([0, 1, 3]),
            st.binary(max_size=30),
        ),
        max_size=8,
    )
)
def test_frames_in_any_order_never_raise(said):
    with Conversation() as talk:
        talk.hear(*said)
        talk.connection.connection_lost(None)
        assert talk.stream.is_over


def test_padding_and_priority_are_left_out():
    with Conversation() as talk:
        padded = bytes((3,)) + message(b"a") + b"\0\0\0"
        weighted = bytes((2,)) + b"\0\0\0\0\x10" + ANSWER + b"\0\0"
        flags = frames.PADDED | frames.WITH_PRIORITY | frames.END_HEADERS
        talk.hear(headers(weighted, flags), data(padded, frames.PADDED), LAST)
        assert talk.messages() == [b"a"]


def test_headers_in_several_frames():
    with Conversation() as talk:
        rest = frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, ANSWER[3:])
        talk.hear(headers(ANSWER[:3], 0), rest, data(message(b"a")), LAST)
        assert talk.messages() == [b"a"]


def test_headers_that_are_interrupted_end_the_connection():
    with Conversation() as talk:
        talk.hear(headers(ANSWER[:3], 0), data(message(b"a")))
        assert talk.code() is grpc.StatusCode.UNAVAILABLE
        assert not talk.connection.takes_streams


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (headers(block((":status", "503")), frames.END_HEADERS | frames.END_STREAM), "UNAVAILABLE"),
        (headers(block((":status", "404"))), "UNIMPLEMENTED"),
        (headers(block(("grpc-status", "99")), frames.END_HEADERS | frames.END_STREAM), "UNKNOWN"),
        (data(b"", frames.END_STREAM), "INTERNAL"),
        (frames.frame(frames.RST_STREAM, 0, 1, (7).to_bytes(4, "big")), "UNAVAILABLE"),
        (frames.frame(frames.RST_STREAM, 0, 1, (2).to_bytes(4, "big")), "INTERNAL"),
        (data(b"\1\0\0\0\1x"), "INTERNAL"),
        (frames.frame(frames.GOAWAY, 0, 0, bytes(8)), "UNAVAILABLE"),
        (frames.frame(frames.PUSH_PROMISE, 0, 1), "UNAVAILABLE"),
    ],
)
def test_bad_ends_have_a_status(last, code):
    with Conversation() as talk:
        talk.hear(last)
        assert talk.code() is grpc.StatusCode[code]


def test_pings_are_answered_and_settings_acknowledged():
    with Conversation() as talk:
        talk.transport.written = b""
        talk.hear(frames.settings_frame(()), frames.frame(frames.PING, 0, 0, b"12345678"))
        assert talk.transport.written == (
            frames.frame(frames.SETTINGS, frames.ACK, 0)
            + frames.frame(frames.PING, frames.ACK, 0, b"12345678")
        )


def test_a_window_taken_back_holds_the_request_until_it_is_given():
    with Conversation() as talk:
        small = frames.settings_frame([(frames.INITIAL_WINDOW, 10)])
        talk.hear(small)
        stream = MessageStream(talk.loop)
        talk.transport.written = b""
        talk.connection.open(stream, b"", b"0123456789abcdef")
        assert talk.transport.written.endswith(data(b"0123456789", 0, 3))
        talk.hear(frames.settings_frame([(frames.INITIAL_WINDOW, 4)]))  # 6 less than nothing
        talk.hear(frames.window_update(3, 8))
        assert talk.transport.written.endswith(data(b"ab", 0, 3))
        talk.hear(frames.window_update(3, 100))
        assert talk.transport.written.endswith(data(b"cdef", frames.END_STREAM, 3))


def test_windows_widened_by_settings_let_a_request_go_on():
    with Conversation() as talk:
        talk.hear(frames.settings_frame([(frames.INITIAL_WINDOW, 10)]))
        talk.connection.open(MessageStream(talk.loop), b"", b"0123456789abcdef")
        talk.transport.written = b""
        talk.hear(frames.settings_frame([(frames.INITIAL_WINDOW, 100)]))
        assert talk.transport.written.endswith(data(b"abcdef", frames.END_STREAM, 3))


def test_the_connections_own_window_is_opened_again(monkeypatch):
    monkeypatch.setattr("sagesched_gateway.triton.http2.connection._REOPEN_BYTES", 20)
    with Conversation() as talk:
        talk.transport.written = b""
        talk.hear(data(message(b"0123456789")), data(message(b"0123456789")))
        assert talk.transport.written == frames.window_update(0, 30)


def test_no_more_streams_at_a_time_than_the_server_wants():
    with Conversation() as talk:
        talk.hear(frames.settings_frame([(frames.MAX_STREAMS, 1)]))
        talk.transport.written = b""
        gone, waits = MessageStream(talk.loop), MessageStream(talk.loop)
        talk.connection.open(gone, b"", b"not wanted any more")
        talk.connection.open(waits, b"", b"next")
        gone.cancel()
        assert talk.transport.written == b""
        talk.hear(headers(ANSWER), LAST)
        assert talk.messages() == []
        assert talk.transport.written.endswith(data(b"next", frames.END_STREAM, 3))


def test_who_waits_for_a_place_is_told_when_the_server_goes():
    with Conversation() as talk:
        talk.hear(frames.settings_frame([(frames.MAX_STREAMS, 1)]))
        waits = MessageStream(talk.loop)
        talk.connection.open(waits, b"", b"next")
        talk.hear(frames.frame(frames.GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
        assert not talk.connection.takes_streams
        talk.hear(headers(ANSWER), data(message(b"a")), LAST)
        assert talk.messages() == [b"a"]
        assert waits.is_over
        assert talk.transport.is_closing()
