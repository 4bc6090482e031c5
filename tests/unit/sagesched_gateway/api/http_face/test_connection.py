from __future__ import annotations

import asyncio
import logging
import socket
import time

import pytest
from aiohttp import web
from http_sockets import connected, listening

from sagesched_gateway.api.http_face.app import build_http_app, connection_options
from sagesched_gateway.api.http_face.connection import HttpConnection, HttpListener
from sagesched_gateway.settings.sections.limits import LimitsConfig

GET = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
_BODY = b'{"text_input":"hi","max_tokens":5}'
_HEAD = b"POST /v2/models/ensemble/generate_stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
STREAM = _HEAD % len(_BODY) + _BODY
LIMITS = LimitsConfig(header_bytes=2000)


@pytest.fixture
async def app(dispatcher, readiness, triton_address) -> web.Application:
    return build_http_app(dispatcher, triton_address, readiness, limits=LIMITS)


async def test_a_young_connection_is_kept(app):
    async with listening(app, LIMITS, connection_age_s=60) as address, connected(address) as one:
        for _ in range(3):
            await one.send(GET)
            answer = await one.answer()
            assert answer.status == 200
            assert "connection" not in answer.headers


def loopbacks() -> list[str]:
    """Those of this machine, which may have no IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return ["127.0.0.1"]
    return ["127.0.0.1", "::1"]


@pytest.mark.parametrize("host", loopbacks())
async def test_every_address_is_of_ipv6_too(app, host):
    """A pod may have no other, and kubelet asks by it."""
    listener = HttpListener(app, options=connection_options(LIMITS))
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    await listener.start(f"0.0.0.0:{port}")
    async with connected(f"{host}:{port}") as one:
        await one.send(GET)
        assert (await one.answer()).status == 200
    await listener.close()


async def test_a_free_port_is_one_port(app):
    listener = HttpListener(app, options=connection_options(LIMITS))
    address = await listener.start("0.0.0.0:0")
    async with connected(address.replace("0.0.0.0", "127.0.0.1")) as one:
        await one.send(GET)
        assert (await one.answer()).status == 200
    await listener.close()


async def test_an_old_connection_is_told_to_reconnect_and_closed(app):
    async with listening(app, LIMITS, connection_age_s=0.05) as address, connected(address) as one:
        await one.send(GET)
        assert "connection" not in (await one.answer()).headers
        await asyncio.sleep(0.06)
        await one.send(GET)
        answer = await one.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await one.rest() == b""


async def test_what_runs_on_an_old_connection_is_not_cut(app, dispatcher, respond):
    dispatcher.responses = [respond("a")]
    dispatcher.holds_open = True
    async with listening(app, LIMITS, connection_age_s=0.05) as address, connected(address) as one:
        await one.send(STREAM)
        assert b'"a"' in await one.reader.readuntil(b"\n\n\r\n")
        await asyncio.sleep(0.08)
        dispatcher.generation.respond(respond("b"))
        dispatcher.generation.end()
        assert b'"b"' in await one.reader.readuntil(b"0\r\n\r\n")
        await one.send(GET)
        assert (await one.answer()).headers["connection"] == "close"


@pytest.fixture
async def listener(app):
    listener = HttpListener(app, options=connection_options(LIMITS), close_grace_s=0.2)
    yield listener
    await listener.close()


async def test_a_gateway_that_will_go_asks_clients_to_reconnect(listener):
    address = await listener.start("127.0.0.1:0")
    async with connected(address) as one:
        await one.send(GET)
        assert "connection" not in (await one.answer()).headers
        listener.ask_to_reconnect()
        await one.send(GET)
        assert (await one.answer()).headers["connection"] == "close"
        assert await one.rest() == b""
        async with connected(address):  # until new connections lead elsewhere, they are taken
            pass


async def test_parting_ends_idle_connections_and_lets_others_finish(listener, dispatcher, respond):
    dispatcher.responses = [respond("a")]
    dispatcher.holds_open = True
    address = await listener.start("127.0.0.1:0")
    async with connected(address) as idle, connected(address) as busy:
        await idle.send(GET)
        await idle.answer()
        await busy.send(STREAM)
        assert b'"a"' in await busy.reader.readuntil(b"\n\n\r\n")
        listener.part()
        assert await idle.rest() == b""
        dispatcher.generation.respond(respond("b"))
        dispatcher.generation.end()
        assert (await busy.rest()).endswith(b"0\r\n\r\n")
        with pytest.raises(ConnectionRefusedError):
            async with connected(address):
                pass


async def test_ages_differ_by_a_tenth_at_most(app):
    server = web.Server(lambda request: web.Response())
    ages = [HttpConnection(server, age_s=100, head_patience_s=1).remaining_s for _ in range(200)]
    assert 89 < min(ages) < 93
    assert 107 < max(ages) < 111


async def test_an_error_while_draining_sends_the_client_away(app, readiness):
    readiness.is_draining, readiness.reason = True, "the gateway is shutting down"
    async with listening(app, LIMITS) as address, connected(address) as one:
        await one.send(GET.replace(b"live", b"ready"))
        answer = await one.answer()
        assert (answer.status, answer.word, answer.headers["connection"]) == (503, "draining", "close")
        assert await one.rest() == b""


@pytest.mark.parametrize("beginning", [b"", b"G", GET[:-2]])
async def test_half_a_head_is_not_waited_for(app, beginning):
    async with listening(app, LIMITS, head_patience_s=0.2) as address, connected(address) as one:
        await one.send(beginning)
        started_at = time.monotonic()
        assert await one.rest() == b""
        assert time.monotonic() - started_at < 5


async def test_an_idle_connection_may_rest_between_requests(app):
    async with listening(app, LIMITS, head_patience_s=0.1) as address, connected(address) as one:
        for _ in range(2):
            await one.send(GET)
            assert (await one.answer()).status == 200
            await asyncio.sleep(0.25)


MANY = [b"X%d: %d\r\n" % (number, 10**80) for number in range(40)]


@pytest.mark.parametrize(
    ("text", "status", "word"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "invalid-request"),
        (b"nonsense\r\n\r\n", 400, "invalid-request"),
        (b"GET /v2 HTTP/9.9\r\n\r\n", 400, "invalid-request"),
        (b"GET /v2 HTTP/1.1\r\nbad header\r\n\r\n", 400, "invalid-request"),
        (b"GET /v2 HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "invalid-request"),
        (b"GET /v2 HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "invalid-request"),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "invalid-request"),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nExpect: \x80\r\n\r\n", 400, "invalid-request"),
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n\r\n", 413, "too-large"),
        (b"GET /v2 HTTP/1.1\r\nX: " + b"a" * 3000 + b"\r\n\r\n", 413, "too-large"),
        (
            b"GET /v2 HTTP/1.1\r\nHost: x\r\n"
            + b"".join(b"X%d: %d\r\n" % (n, 10**80) for n in range(40))
            + b"\r\n",
            413,
            "too-large",
        ),
    ],
)
async def test_what_is_no_request_gets_an_error_like_any_other(app, caplog, text, status, word):
    async with listening(app, LIMITS) as address, connected(address) as one:
        await one.send(text)
        answer = await one.answer()
        assert (answer.status, answer.word) == (status, word)
        assert answer.error
        assert answer.headers["content-type"] == "application/json"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


POST = b"POST /v2/models/ensemble/generate HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("path", [b"ensemble/generate", b"once/infer", b"resnet/infer"])
async def test_bad_chunks_are_the_callers_fault(app, dispatcher, path):
    head = POST.replace(b"ensemble/generate", path)
    async with listening(app, LIMITS) as address, connected(address) as one:
        await one.send(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n")
        answer = await one.answer()
        assert (answer.status, answer.word) == (400, "invalid-request")
        assert "body cannot be read" in answer.error or "no HTTP request" in answer.error
    assert dispatcher.messages == []


async def test_half_a_body_of_a_caller_who_leaves_is_no_request(app, dispatcher, caplog):
    async with listening(app, LIMITS) as address:
        async with connected(address) as one:
            await one.send(POST + b"Content-Length: 100\r\n\r\n{")
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
    assert dispatcher.messages == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("path", [b"ensemble/generate", b"once/infer", b"resnet/infer"])
async def test_half_a_body_is_not_waited_for(app, dispatcher, monkeypatch, path):
    monkeypatch.setattr("sagesched_gateway.api.http_face.body.PATIENCE_S", 0.1)
    async with listening(app, LIMITS) as address, connected(address) as one:
        await one.send(POST.replace(b"ensemble/generate", path) + b"Content-Length: 100\r\n\r\n{")
        answer = await one.answer()
        assert (answer.status, answer.word) == (400, "invalid-request")
        assert answer.error == "the request body broke off: 1 bytes came, then nothing for 0.1 s"
    assert dispatcher.messages == []


@pytest.mark.parametrize("path", [b"ensemble/generate", b"once/infer", b"resnet/infer"])
@pytest.mark.parametrize("framing", [b"Content-Length: 5000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_bodies_beyond_the_limit_are_refused(dispatcher, readiness, triton_address, path, framing):
    limits = LimitsConfig(message_bytes=1000)
    app = build_http_app(dispatcher, triton_address, readiness, limits=limits)
    async with listening(app, limits) as address, connected(address) as one:
        body = b"x" * 5000 if b"5000" in framing else b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n"
        await one.send(POST.replace(b"ensemble/generate", path) + framing + body)
        answer = await one.answer()
        assert (answer.status, answer.word) == (413, "too-large")
        assert "larger than 1000 bytes" in answer.error
    assert dispatcher.messages == []
