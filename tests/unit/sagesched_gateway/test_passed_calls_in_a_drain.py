"""A whole gateway that ends while Triton works on calls that are only passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from aiohttp import web

from sagesched_gateway.gateway import Gateway
from sagesched_gateway.kserve import SERVICE
from sagesched_gateway.settings.config import parse_config

STATISTICS = f"/{SERVICE}/ModelStatistics"
FREE = "127.0.0.1:0"


class SlowTriton(grpc.GenericRpcHandler):
    """Answers statistics, over both of its faces, when told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def answer(self, *_: Any) -> bytes:
        self.asked.set()
        await self.may_answer.wait()
        return b"statistics"

    async def answer_http(self, request: web.Request) -> web.Response:
        return web.Response(body=await self.answer())

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        is_slow = details.method == STATISTICS
        return grpc.unary_unary_rpc_method_handler(self.answer) if is_slow else None


@pytest.fixture
async def triton() -> SlowTriton:
    return SlowTriton()


@pytest.fixture
async def gateway(triton: SlowTriton) -> AsyncIterator[Gateway]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((triton,))
    port = server.add_insecure_port(FREE)
    await server.start()
    app = web.Application()
    app.router.add_get("/v2/models/stats", triton.answer_http)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    http_port = runner.addresses[0][1]
    gateway = Gateway(
        parse_config(
            {
                "listen": {"grpc": FREE, "http": FREE, "metrics": FREE},
                "triton": {"grpc": f"127.0.0.1:{port}", "http": f"127.0.0.1:{http_port}"},
                "predictor": {"mode": "None"},
            }
        )
    )
    await gateway.start()
    yield gateway
    await gateway.close()
    await runner.cleanup()
    await server.stop(0)


async def over_grpc(gateway: Gateway) -> bytes:
    async with grpc.aio.insecure_channel(gateway.addresses.grpc) as channel:
        return bytes(await channel.unary_unary(STATISTICS)(b""))


async def over_http(gateway: Gateway) -> bytes:
    url = f"http://{gateway.addresses.http}/v2/models/stats"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.read()


@pytest.mark.parametrize("ask", [over_grpc, over_http])
async def test_a_drain_waits_for_what_was_passed_on(gateway, triton, ask):
    call = asyncio.ensure_future(ask(gateway))
    await asyncio.wait_for(triton.asked.wait(), 5.0)
    drain = asyncio.create_task(gateway.drain())
    await asyncio.sleep(0.3)
    assert not drain.done()
    triton.may_answer.set()
    assert await call == b"statistics"
    await asyncio.wait_for(drain, 2.0)
