"""Streams to a real gRPC server: messages of any size, ends, errors, cancelling, connections that go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from sagesched_gateway.triton.http2.channel import StreamChannel
from sagesched_gateway.triton.http2.frames import settings_frame
from sagesched_gateway.triton.http2.stream import StreamResetError

METHOD = "/test.Service/Stream"
UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


class Server:
    """Answers by the request's first word: see `answer`."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str | bytes]] = []
        self.cancelled = 0
        self.address = ""
        self._server: grpc.aio.Server | None = None

    async def start(self, *options: tuple[str, int], address: str = "127.0.0.1:0") -> None:
        self._server = grpc.aio.server(options=(*UNLIMITED, ("grpc.so_reuseport", 0), *options))
        handler = grpc.stream_stream_rpc_method_handler(self._answer)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Service", {"Stream": handler}),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        await self._server.start()

    async def stop(self, grace_s: float | None = None) -> None:
        assert self._server is not None
        await self._server.stop(grace_s)

    async def _answer(self, _: object, context: grpc.aio.ServicerContext) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                await self._answer_one(message, context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _answer_one(self, message: bytes, context: grpc.aio.ServicerContext) -> None:
        word, _, argument = message.partition(b" ")
        match word:
            case b"count":
                for number in range(int(argument)):
                    await context.write(b"%d" % number)
            case b"echo":
                await context.write(argument)
            case b"slow":
                await context.write(b"begun")
                await asyncio.sleep(float(argument))
                await context.write(b"done")
            case b"fail":
                await context.write(b"begun")
                await context.abort(grpc.StatusCode.NOT_FOUND, argument.decode())
            case b"refuse":
                await context.abort(grpc.StatusCode.UNAVAILABLE, argument.decode())


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[StreamChannel]:
    channel = StreamChannel(server.address, METHOD)
    yield channel
    await channel.close()


async def read_all(channel: StreamChannel, message: bytes, metadata=()) -> list[bytes]:
    """All messages of one call."""
    stream, messages = channel.call(message, metadata), []
    while (answer := await stream.read()) is not grpc.aio.EOF:
        messages.append(answer)
    return messages


async def failure_of(channel: StreamChannel, message: bytes) -> grpc.aio.AioRpcError:
    """The status of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await read_all(channel, message)
    return failed.value


async def test_messages_come_whole_and_in_order(channel):
    assert await read_all(channel, b"count 500") == [b"%d" % number for number in range(500)]


async def test_an_answer_may_be_empty_and_so_may_a_message(channel):
    assert await read_all(channel, b"count 0") == []
    assert await read_all(channel, b"echo ") == [b""]


@pytest.mark.parametrize("size", [16_378, 16_379, 65_529, 65_531, 5_000_000])
async def test_messages_larger_than_frames_and_windows_pass_both_ways(channel, size):
    text = b"0123456789" * (size // 10) + b"x" * (size % 10)
    assert await read_all(channel, b"echo " + text) == [text]


async def test_many_large_requests_share_the_windows(channel):
    texts = [b"%d" % number * 300_000 for number in range(8)]
    answers = await asyncio.gather(*(read_all(channel, b"echo " + text) for text in texts))
    assert answers == [[text] for text in texts]


async def test_metadata_goes_along_binary_values_too(channel, server):
    long = "v" * 300
    await read_all(channel, b"count 1", (("x-trace", "t1"), ("x-long", long), ("x-raw-bin", b"\0\xff\1")))
    metadata = server.metadata[0]
    assert (metadata["x-trace"], metadata["x-long"], metadata["x-raw-bin"]) == ("t1", long, b"\0\xff\1")


@pytest.mark.parametrize("value", ["a\nb", "\udcff", "ä", b"\x00", "\x7f"])
async def test_what_is_not_allowed_in_metadata_is_left_out(channel, server, value):
    assert await read_all(channel, b"echo a", (("x-bad", value), ("X-Upper", "1"), ("x-good", "2"))) == [b"a"]
    assert server.metadata[0]["x-good"] == "2"
    assert not {"x-bad", "X-Upper", "x-upper"} & set(server.metadata[0])


async def test_headers_larger_than_a_frame_go_in_several():
    server = Server()
    await server.start(("grpc.max_metadata_size", 100_000), ("grpc.absolute_max_metadata_size", 100_000))
    channel = StreamChannel(server.address, METHOD)
    assert await read_all(channel, b"echo a", (("x-large", "v" * 40_000),)) == [b"a"]
    assert server.metadata[0]["x-large"] == "v" * 40_000
    await channel.close()
    await server.stop()


@pytest.mark.parametrize("words", ["no such thing", "100 % of ä ü 漢字", ""])
async def test_a_status_comes_with_its_words_behind_what_came_before(channel, words):
    stream = channel.call(b"fail " + words.encode(), ())
    assert await stream.read() == b"begun"
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stream.read()
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.NOT_FOUND, words)


async def test_a_refusal_without_an_answer(channel):
    error = await failure_of(channel, b"refuse not now")
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "not now")


async def test_an_unknown_method(server):
    channel = StreamChannel(server.address, "/test.Service/Other")
    error = await failure_of(channel, b"x")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    await channel.close()


async def test_cancel_reaches_the_server(channel, server):
    stream = channel.call(b"slow 60", ())
    assert await stream.read() == b"begun"
    assert stream.cancel()
    assert not stream.cancel()
    with pytest.raises(StreamResetError):
        await stream.read()
    async with asyncio.timeout(10):
        while not server.cancelled:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert await read_all(channel, b"echo still there") == [b"still there"]


async def test_a_call_cancelled_before_it_was_connected_is_never_sent(channel, server):
    stream = channel.call(b"echo early", ())
    stream.cancel()
    assert await read_all(channel, b"echo later") == [b"later"]
    assert len(server.metadata) == 1


async def test_a_server_that_retires_connections_loses_nothing():
    server = Server()
    await server.start(("grpc.max_connection_age_ms", 50), ("grpc.max_connection_age_grace_ms", 60_000))
    channel = StreamChannel(server.address, METHOD)
    for _ in range(12):
        assert await read_all(channel, b"slow 0.03") == [b"begun", b"done"]
    await channel.close()
    await server.stop()


async def test_an_absent_server_is_told_at_once_and_found_when_it_comes():
    server = Server()
    await server.start()
    await server.stop()
    channel = StreamChannel(server.address, METHOD)
    error = await failure_of(channel, b"echo a")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "failed to connect" in error.details()
    await server.start(address=server.address)
    assert await read_all(channel, b"echo a") == [b"a"]
    await channel.close()
    await server.stop()


async def test_a_server_that_dies_ends_what_runs(channel, server):
    stream = channel.call(b"slow 60", ())
    assert await stream.read() == b"begun"
    await server.stop()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stream.read()
    assert failed.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_a_channel_connects_ahead_once():
    came: asyncio.Queue[None] = asyncio.Queue()
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(settings_frame(()))
        came.put_nowait(None)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    other = await asyncio.start_server(talk, "127.0.0.1", 0)
    channel = StreamChannel(f"127.0.0.1:{other.sockets[0].getsockname()[1]}", METHOD)
    channel.connect()
    channel.connect()
    async with asyncio.timeout(10):
        await came.get()
    await asyncio.sleep(0.05)
    channel.connect()
    await asyncio.sleep(0.05)
    assert came.empty()
    await channel.close()
    await gone.wait()
    other.close()
    await other.wait_closed()


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, b"\xff" * 9, b""])
async def test_somebody_else_on_the_port_is_an_error_not_a_hang(greeting):
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(talk, "127.0.0.1", 0)
    channel = StreamChannel(f"127.0.0.1:{other.sockets[0].getsockname()[1]}", METHOD)
    error = await failure_of(channel, b"echo a")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    await channel.close()
    other.close()
    await other.wait_closed()


async def test_closing_the_channel_ends_its_streams(server):
    channel = StreamChannel(server.address, METHOD)
    stream = channel.call(b"slow 60", ())
    assert await stream.read() == b"begun"
    await channel.close()
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
