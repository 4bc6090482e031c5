from __future__ import annotations

import asyncio

import pytest
from aiohttp.test_utils import TestClient, TestServer, unused_port

from sagesched_gateway.api import observability
from sagesched_gateway.api.observability import build_metrics_app
from sagesched_gateway.dispatch.drain_budget import DrainBudget
from sagesched_gateway.metrics import GatewayMetrics
from sagesched_gateway.settings.config import digest, parse_config
from sagesched_gateway.settings.live import LiveSettings
from sagesched_gateway.status import ConfigStatus, DrainStatus, PredictorStatus, QueueStatus, parse_status

CONFIG = parse_config({"predictor": {"mode": "None"}, "scheduling": {"policy": "sagesched"}})
WAITING = 'nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"}'
TRITON_TEXT = f"# TYPE nv_trt_llm_request_metrics gauge\n{WAITING} 1\n"


def app_for(dispatcher, readiness, address, settings=None):
    return build_metrics_app(
        dispatcher,
        GatewayMetrics().registry,
        address,
        readiness=readiness,
        settings=settings or LiveSettings(CONFIG),
        drain_budget=DrainBudget(lambda quantile: 0.0, lambda: 0.0),
    )


@pytest.fixture
async def client(dispatcher, readiness, triton_address):
    async with TestClient(TestServer(app_for(dispatcher, readiness, triton_address))) as client:
        yield client


async def text_of(client) -> str:
    async with client.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return await answer.text()


async def test_metrics_are_ours_and_tritons_with_the_queue(client, triton):
    triton.pieces = [TRITON_TEXT.encode()]
    text = await text_of(client)
    assert "sagesched_gateway_queued_requests 5.0\n" in text
    assert "sagesched_gateway_triton_metrics_up 1.0\n" in text
    assert f"{WAITING} 6\n" in text
    assert triton.requests[0][1] == "/metrics"


async def test_states_move_between_scrapes(client, dispatcher):
    dispatcher.change(queued=6)
    assert "sagesched_gateway_queued_requests 6.0\n" in await text_of(client)


async def test_without_triton_ours_are_served(dispatcher, readiness):
    app = app_for(dispatcher, readiness, f"127.0.0.1:{unused_port()}")
    async with TestClient(TestServer(app)) as client:
        text = await text_of(client)
    assert "sagesched_gateway_queued_requests 5.0\n" in text
    assert "sagesched_gateway_triton_metrics_up 0.0\n" in text


async def test_a_triton_that_refuses_is_as_one_away(client, triton):
    triton.status = 400
    assert "sagesched_gateway_triton_metrics_up 0.0\n" in await text_of(client)


async def test_a_triton_that_hangs_does_not_hold_up_the_scrape(
    dispatcher, readiness, triton, triton_address, monkeypatch
):
    monkeypatch.setattr(observability, "_TRITON_TIMEOUT_S", 0.05)
    triton.waits = True
    async with TestClient(TestServer(app_for(dispatcher, readiness, triton_address))) as client:
        text = await asyncio.wait_for(text_of(client), 5)
    assert "sagesched_gateway_triton_metrics_up 0.0\n" in text


async def test_status_is_the_schema(client, dispatcher, readiness):
    async with client.get("/status") as answer:
        assert answer.content_type == "application/json"
        status = parse_status(await answer.json())
    assert status.ready
    assert (status.policy, status.configured_policy) == ("fcfs", "sagesched")
    assert status.config_digest == digest(CONFIG)
    assert status.config == ConfigStatus(file_digest=digest(CONFIG))
    assert status.queue == QueueStatus(
        queued=5,
        queued_bytes=4321,
        in_flight=3,
        backlog_s=12.5,
        backlog_p50_s=1.0,
        backlog_p90_s=2.0,
        eta_p50_s=3.0,
        eta_p90_s=4.0,
    )
    assert status.drain == DrainStatus(in_flight_s=5.0, all_s=6.0, max_s=300.0, budget_s=300.0)
    assert (status.engine.slots, status.engine.kv_blocks, status.engine.iteration_s) == (32, 750, 0.011)
    assert status.predictor == PredictorStatus(
        mode="HistoryOnly", state="ready", provider="CPUExecutionProvider", history=9
    )
    assert status.counters == {"received": 11}
    assert status.versions.keys() >= {"sagesched", "python", "grpcio", "aiohttp"}


async def test_health_and_readiness(client, readiness):
    readiness.is_ready, readiness.reason = False, "draining"
    async with client.get("/healthz") as answer:
        assert answer.status == 200
    async with client.get("/readyz") as answer:
        assert (answer.status, await answer.text()) == (503, "draining\n")
    readiness.is_ready = True
    async with client.get("/readyz") as answer:
        assert answer.status == 200


async def test_status_tells_of_the_settings_file(dispatcher, readiness, triton_address):
    settings = LiveSettings(CONFIG)
    wanted = parse_config({"predictor": {"mode": "None"}, "triton": {"grpc": "elsewhere:1"}})
    async with TestClient(TestServer(app_for(dispatcher, readiness, triton_address, settings))) as client:
        settings.take(wanted)
        settings.refuse("gateway.yaml:3: wrong")
        async with client.get("/status") as answer:
            status = parse_status(await answer.json())
        text = await text_of(client)
    assert status.configured_policy == "gittins-boost"
    assert status.config_digest not in (digest(CONFIG), digest(wanted))
    assert status.config == ConfigStatus(
        file_digest=digest(wanted), error="gateway.yaml:3: wrong", waits_for_restart=("triton.grpc",)
    )
    assert f'config_digest="{status.config_digest}"' in text
    assert "sagesched_gateway_config_valid 0.0\n" in text
    assert "sagesched_gateway_config_settings_waiting 1.0\n" in text
