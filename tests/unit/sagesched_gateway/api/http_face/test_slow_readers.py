"""Callers who do not take their answers; the kernel's buffers are made small, to fill them soon."""

from __future__ import annotations

import asyncio
import time

import pytest
from http_sockets import connected, listening

from sagesched_gateway.api.http_face.app import build_http_app
from sagesched_gateway.settings.sections.limits import LimitsConfig

BODY = b'{"text_input":"hi","max_tokens":5}'
STREAM = b"POST /v2/models/ensemble/generate_stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
LONG = "x" * 100_000


async def feed(generation, response, times: int) -> None:
    for _ in range(times):
        generation.respond(response)
        await asyncio.sleep(0)


async def test_too_much_unread_breaks_the_stream_and_cancels(
    dispatcher, readiness, triton_address, respond, caplog
):
    limits = LimitsConfig(unread_bytes=1_000_000)
    app = build_http_app(dispatcher, triton_address, readiness, limits=limits)
    dispatcher.holds_open = True
    async with listening(app, limits) as address, connected(address, receive_bytes=4096) as one:
        await one.send(STREAM)
        await asyncio.wait_for(dispatcher.started.wait(), 5)
        await feed(dispatcher.generation, respond(LONG), 200)
        await asyncio.wait_for(dispatcher.closed.wait(), 5)
    assert "slow-reader: POST /v2/models/ensemble/generate_stream" in caplog.text
    assert "more than 1000000 bytes wait" in caplog.text


async def test_taking_nothing_for_too_long_breaks_the_stream_and_cancels(
    dispatcher, readiness, triton_address, respond, caplog
):
    limits = LimitsConfig(slow_reader_s=0.4)
    app = build_http_app(dispatcher, triton_address, readiness, limits=limits)
    dispatcher.holds_open = True
    async with listening(app, limits) as address, connected(address, receive_bytes=4096) as one:
        await one.send(STREAM)
        await asyncio.wait_for(dispatcher.started.wait(), 5)
        await feed(dispatcher.generation, respond(LONG), 80)
        await asyncio.wait_for(dispatcher.closed.wait(), 5)
    assert "was taken for 0.4 s" in caplog.text


async def test_a_slow_caller_who_reads_gets_everything(dispatcher, readiness, triton_address, respond):
    limits = LimitsConfig(slow_reader_s=0.4)
    app = build_http_app(dispatcher, triton_address, readiness, limits=limits)
    dispatcher.responses = [respond(LONG)] * 40
    got = 0
    async with listening(app, limits) as address, connected(address, receive_bytes=100_000) as one:
        await one.send(STREAM)
        started_at = time.monotonic()
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            piece = await one.reader.read(100_000)
            assert piece, "broken off"
            got += len(piece)
            tail = (tail + piece)[-16:]
            await asyncio.sleep(0.02)
        assert time.monotonic() - started_at > 0.4
    assert got > 40 * len(LONG)


@pytest.mark.parametrize("path", [b"/v2/models/ensemble/generate", b"/v2/models/resnet"])
async def test_whole_answers_are_not_kept_for_those_who_do_not_read(
    dispatcher, readiness, triton_address, triton, respond, caplog, path
):
    limits = LimitsConfig(slow_reader_s=0.4)
    app = build_http_app(dispatcher, triton_address, readiness, limits=limits)
    dispatcher.responses = [respond("x" * 8_000_000)]
    triton.pieces = [b"x" * 8_000_000]
    async with listening(app, limits) as address, connected(address, receive_bytes=4096) as one:
        await one.send(STREAM.replace(b"/v2/models/ensemble/generate_stream", path))
        for _ in range(250):
            if "was taken for 0.4 s" in caplog.text:
                break
            await asyncio.sleep(0.02)
        assert len(await one.rest()) < 1_000_000


async def test_the_silence_of_a_queue_is_nobodys_slowness(dispatcher, readiness, triton_address, respond):
    limits = LimitsConfig(slow_reader_s=0.1)
    app = build_http_app(dispatcher, triton_address, readiness, limits=limits)
    dispatcher.responses = []
    dispatcher.holds_open = True
    async with listening(app, limits) as address, connected(address) as one:
        await one.send(STREAM)
        await asyncio.wait_for(dispatcher.started.wait(), 5)
        await asyncio.sleep(0.4)
        dispatcher.generation.respond(respond("late"))
        dispatcher.generation.end()
        assert b"late" in await one.reader.readuntil(b"0\r\n\r\n")
