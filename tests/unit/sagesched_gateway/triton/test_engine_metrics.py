"""The engine's gauges in Triton's metrics text, and limits in the model's configuration."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sagesched_gateway.dispatch.ports import EngineGauges
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.triton.engine_metrics import TritonEngineProbe, parse_gauges

TEXT = """\
# HELP nv_inference_count Number of inferences performed
# TYPE nv_inference_count counter
nv_inference_count{model="ensemble",version="1"} 12
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="context",version="1"} 0
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 5
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 256
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"} 6
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 1
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 750
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="tensorrt_llm",version="1"} 1e+02
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="tensorrt_llm",version="1"} 32
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.13
PAUSED 2
nv_trt_llm_general_metrics{general_type="iteration_counter",model="tensorrt_llm",version="1"} 1234
nv_trt_llm_general_metrics{general_type="timestamp",model="tensorrt_llm",version="1"} 1.7e+09
""".replace(
    "PAUSED",
    "nv_trt_llm_inflight_batcher_metrics"
    '{inflight_batcher_specific_metric="paused_requests",model="tensorrt_llm",version="1"}',
)

GAUGES = EngineGauges(
    max_requests=256,
    active=6,
    scheduled=5,
    waiting=1,
    paused=2,
    kv_blocks=750,
    used_blocks=100,
    block_tokens=32,
    iteration=1234,
)


def test_all_gauges_are_found():
    assert parse_gauges(TEXT) == GAUGES
    assert parse_gauges(TEXT, "tensorrt_llm") == GAUGES


def test_another_engines_gauges_are_left_out():
    assert parse_gauges(TEXT, "other") == EngineGauges()
    assert parse_gauges(TEXT + TEXT.replace("tensorrt_llm", "other"), "tensorrt_llm") == GAUGES


def test_a_server_without_an_engine_has_none():
    assert parse_gauges("nv_inference_count 3\n") == EngineGauges()


@pytest.fixture
async def serve():
    servers = []

    async def serve(text, status=200):
        async def metrics(_):
            return web.Response(text=text, status=status)

        app = web.Application()
        app.router.add_get("/metrics", metrics)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return f"127.0.0.1:{server.port}"

    yield serve
    for server in servers:
        await server.close()


async def test_the_probe_reads_limits_and_gauges(catalog, serve):
    probe = TritonEngineProbe(catalog, await serve(TEXT))
    limits = await probe.limits()
    assert (limits.slots, limits.kv_policy) == (32, KvPolicy.MAX_UTILIZATION)
    assert not limits.splits_prompts
    catalog.engine.config.config.parameters["enable_chunked_context"].string_value = "true"
    assert (await probe.limits()).splits_prompts
    assert await probe.gauges() == GAUGES
    await probe.close()


async def test_an_unreadable_page_is_no_error_and_told_once(catalog, serve, caplog):
    refused = TritonEngineProbe(catalog, await serve("no", status=500))
    assert await refused.gauges() is None
    await refused.close()
    gone = TritonEngineProbe(catalog, "127.0.0.1:9")
    assert [await gone.gauges(), await gone.gauges()] == [None, None]
    assert len([r for r in caplog.records if "cannot read" in r.message]) == 1
    await gone.close()
