from __future__ import annotations

import asyncio
import gzip

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer, unused_port
from yarl import URL

from sagesched_gateway.api.http_face.app import build_http_app

INFER = "/v2/models/resnet/infer"


async def test_a_request_reaches_triton_untouched(client, triton):
    headers = {"Inference-Header-Content-Length": "2", "Content-Type": "application/octet-stream"}
    url = URL(f"{client.make_url(INFER)}?a=%2Fb&c=d%20e", encoded=True)
    async with client.session.post(url, data=b"{}\x00\xff", headers=headers) as answer:
        assert await answer.read() == b"from Triton"
    method, path, body, seen = triton.requests[0]
    assert (method, path, body) == ("POST", f"{INFER}?a=%2Fb&c=d%20e", b"{}\x00\xff")
    assert seen["Inference-Header-Content-Length"] == "2"
    assert seen["Content-Type"] == "application/octet-stream"
    assert seen["Content-Length"] == "4"
    assert "Transfer-Encoding" not in seen


async def test_an_answer_comes_back_untouched(client, triton):
    packed = gzip.compress(b"tensors")
    triton.status = 418
    triton.pieces = [packed]
    triton.headers = {
        "Content-Encoding": "gzip",
        "Content-Length": str(len(packed)),
        "Inference-Header-Content-Length": "7",
        "Connection": "keep-alive, X-One-Hop",
        "X-One-Hop": "1",
    }
    async with client.get("/v2/models/resnet") as answer:
        assert answer.status == 418
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Length"] == str(len(packed))
        assert answer.headers["Inference-Header-Content-Length"] == "7"
        assert "X-One-Hop" not in answer.headers
        assert "x-sagesched-error" not in answer.headers
        assert await answer.read() == packed


async def test_a_compressed_body_stays_compressed(client, triton):
    packed = gzip.compress(b"tensors")
    async with client.post(INFER, data=packed, headers={"Content-Encoding": "gzip"}) as answer:
        assert answer.status == 200
    assert triton.requests[0][2] == packed
    assert triton.requests[0][3]["Content-Encoding"] == "gzip"


async def test_bodies_of_unknown_length_are_streamed(client, triton):
    async def pieces():
        for number in range(3):
            yield b"%d" % number * 100_000

    async with client.post(INFER, data=pieces()) as answer:
        assert answer.status == 200
    assert len(triton.requests[0][2]) == 300_000


async def test_no_headers_are_added(client, triton):
    async with client.get("/v2", skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding"]):
        pass
    assert set(triton.requests[0][3]) == {"Host"}


async def test_redirects_pass(client, triton):
    triton.pieces = []
    triton.status = 302
    triton.headers = {"Location": "/v2/elsewhere"}
    async with client.get("/v2", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/v2/elsewhere")


@pytest.mark.parametrize("path", ["/v2", "/v2/models/resnet/ready"])
async def test_head_is_refused_here(client, triton, path):
    async with client.head(path) as answer:
        assert answer.status == 405
    assert not triton.requests


async def test_a_caller_who_leaves_is_gone_for_triton_too(client, triton):
    triton.waits = True
    async with client.post("/v2/models/resnet/generate_stream", data=b"{}") as answer:
        assert await answer.content.readexactly(11) == b"from Triton"
        answer.close()
    await asyncio.wait_for(triton.left.wait(), 5)


async def test_half_an_answer_does_not_look_whole(client, triton, caplog):
    triton.breaks_off = True
    async with client.get("/v2") as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert "Triton hung up in the middle of GET /v2" in caplog.text


async def test_a_triton_that_is_away_is_named(dispatcher, readiness):
    app = build_http_app(dispatcher, f"127.0.0.1:{unused_port()}", readiness)
    async with TestClient(TestServer(app)) as client, client.get("/v2") as answer:
        assert answer.status == 503
        assert answer.headers["x-sagesched-error"] == "upstream-unavailable"
        assert "cannot reach Triton's HTTP endpoint at 127.0.0.1:" in (await answer.json())["error"]


async def test_what_is_not_tritons_is_not_found(client, triton):
    async with client.get("/elsewhere") as answer:
        assert answer.status == 404
        assert await answer.json() == {"error": "Not Found"}
    assert triton.requests == []
