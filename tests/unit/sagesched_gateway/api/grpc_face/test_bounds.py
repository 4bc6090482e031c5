"""Bounds of the gRPC face: what is too large, too long unread, or too long unused."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import grpc.aio
import pytest
from dispatch_fakes import a_message, until

from sagesched_gateway.api.grpc_face.server import server_options
from sagesched_gateway.api.grpc_face.stream import StreamBounds
from sagesched_gateway.kserve import SERVICE, ModelInferResponse
from sagesched_gateway.request import Chunk
from sagesched_gateway.settings.config import parse_config

HARD_TO_READ = b"x" * 50_000


def limits(**changes: object) -> dict[str, object]:
    return {"limits": changes}


async def ended(call) -> tuple[grpc.StatusCode, str, str]:
    """Code, details and word of a stream's end, however much comes before."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    code = await call.code()
    word = dict(await call.trailing_metadata()).get("x-sagesched-error", "")
    return code, await call.details(), word


def say_much(running, number: int) -> None:
    for _ in range(number):
        response = ModelInferResponse(model_name="text", raw_output_contents=[HARD_TO_READ])
        running._put(Chunk(response, 1))


@pytest.mark.parametrize("settings", [limits(messageBytes=5000)])
async def test_a_message_that_is_too_large_is_refused(face):
    with pytest.raises(grpc.aio.AioRpcError, match=r"larger than max \(6000") as caught:
        await face.unary("ModelInfer", b"x" * 6000)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    call = face.stream()
    await call.write(a_message("x" * 6000))
    assert (await ended(call))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not face.bench.dispatcher.num_live


@pytest.mark.parametrize("settings", [limits(headerBytes=2000)])
async def test_metadata_that_is_too_large_is_refused(face):
    with pytest.raises(grpc.aio.AioRpcError, match="metadata size exceeds") as caught:
        await face.unary("ServerLive", metadata=(("x-much", "x" * 3000),))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("settings", [limits(unreadBytes=100_000)])
async def test_what_piles_up_unread_ends_the_stream_and_stops_its_requests(face):
    call = face.stream()
    for name in ("loud", "quiet"):
        await call.write(a_message(name))
    loud, quiet = await face.running(2)
    say_much(loud, 1000)
    await until(lambda: loud.num_cancels and quiet.num_cancels)
    code, details, word = await ended(call)
    assert (code, word) == (grpc.StatusCode.ABORTED, "slow-reader")
    assert "100000 bytes" in details


@pytest.mark.parametrize("settings", [limits(unreadBytes=100_000)])
async def test_who_is_cut_by_a_refusal_harms_nobody_else_who_is_refused(face):
    dispatcher = face.bench.dispatcher
    slow, other = face.stream(), face.stream()
    for number in range(8):
        await slow.write(a_message(f"runs {number}"))
    running = await face.running(8)
    for call in running:
        call.ends_when_cancelled = True
    # More than the flow control of one connection lets through: the next word for this caller is too much.
    running[0]._put(Chunk(ModelInferResponse(raw_output_contents=[b"x" * 30_000_000]), 1))
    for stream, number in ((slow, 1), (slow, 2), (other, 3)):
        await stream.write(a_message("waits"))
        await until(lambda expected=number: dispatcher.num_waiting == expected)
    await asyncio.sleep(0.3)
    await dispatcher.drain(0.01)
    async with asyncio.timeout(5):
        assert "shutting down" in (await other.read()).error_message
    slow.cancel()


@pytest.mark.parametrize("settings", [limits(slowReaderSeconds=0.3)])
async def test_a_caller_that_reads_nothing_loses_its_requests(face):
    call = face.stream()
    await call.write(a_message())
    (running,) = await face.running()
    # More than the flow control of one connection lets through, less than the bound on bytes.
    say_much(running, 300)
    await asyncio.sleep(0.1)
    assert not running.num_cancels
    await until(lambda: running.num_cancels)
    code, _, word = await ended(call)
    assert (code, word) == (grpc.StatusCode.ABORTED, "slow-reader")


@pytest.mark.parametrize("settings", [limits(slowReaderSeconds=0.1, idleStreamSeconds=0.1)])
async def test_silence_of_the_engine_is_not_the_callers_fault(face):
    call = face.stream()
    await call.write(a_message())
    (running,) = await face.running()
    await asyncio.sleep(0.4)
    running.token(final=True)
    assert await call.read()
    call.cancel()


@pytest.mark.parametrize("settings", [limits(idleStreamSeconds=0.2)])
async def test_a_stream_without_requests_is_ended(face):
    call = face.stream()
    for _ in range(3):
        await asyncio.sleep(0.1)
        await call.write(a_message(model="adder"))
        assert await call.read()
    code, details, word = await ended(call)
    assert (code, word) == (grpc.StatusCode.ABORTED, "idle-stream")
    assert "0.2 s" in details


@pytest.mark.parametrize("settings", [{"listen": {"connectionAgeSeconds": 0.2}}])
async def test_a_stream_older_than_its_connection_may_be_ends_between_requests(face):
    call = face.stream()
    await call.write(a_message())
    (running,) = await face.running()
    await asyncio.sleep(0.4)
    running.token(final=True)
    assert await call.read()
    assert (await ended(call))[2] == "idle-stream"


def test_bounds_follow_the_settings():
    config = parse_config({"predictor": {"mode": "None"}, "listen": {"connectionAgeSeconds": 0}})
    assert StreamBounds.of(config).age_s == float("inf")
    assert not [name for name, _ in server_options(config) if "connection_age" in name]
    config = parse_config({"predictor": {"mode": "None"}})
    options = dict(server_options(config))
    assert options["grpc.max_connection_age_ms"] == 60_000
    assert "grpc.max_connection_age_grace_ms" not in options  # age cuts nothing that runs
    assert StreamBounds.of(config).age_s == pytest.approx(66)


async def test_millions_of_inputs_are_refused_before_they_are_decoded(face):
    body = b"\x2a\x00" * 2**20
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await face.unary("ModelInfer", body)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    call = face.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")()
    await call.write(body)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not face.raw.calls
