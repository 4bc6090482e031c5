"""Gateways are heard whole, and what they said long ago is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import pytest
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parent))

from builders import a_report
from pool_cases import SMALLEST, a_pool, merged

from sagesched_gateway.status import to_mapping
from sagesched_operator.build import paths
from sagesched_operator.cluster.cache import Cache
from sagesched_operator.control import aggregate
from sagesched_operator.control.aggregate import Aggregator
from sagesched_operator.control.metrics import OperatorMetrics
from sagesched_operator.control.pods import view
from sagesched_operator.control.reports import FRESH_S
from sagesched_operator.control.store import PoolStore


def a_pod(ip):
    return {
        "metadata": {
            "name": "p-1",
            "namespace": "ns",
            "uid": "u1",
            "resourceVersion": "1",
            "labels": {"serving.sagesched.io/pool": "p"},
        },
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
    }


@contextlib.asynccontextmanager
async def a_gateway(monkeypatch, *parts):
    """One whose report comes in several parts, as over a network."""

    async def serve(request):
        answer = web.StreamResponse(headers={"Content-Length": str(sum(map(len, parts)))})
        await answer.prepare(request)
        for part in parts:
            await answer.write(part)
            await asyncio.sleep(0.05)
        return answer

    async with serving(monkeypatch, serve):
        yield


@contextlib.asynccontextmanager
async def serving(monkeypatch, serve):
    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setattr(aggregate, "METRICS", runner.addresses[0][1])
    try:
        yield
    finally:
        await runner.cleanup()


def an_aggregator(spec=None):
    pods = Cache(lambda key, is_ours: None)
    pods.put(a_pod("127.0.0.1"))
    pools = PoolStore(lambda key: None)
    pool = a_pool(merged(SMALLEST, spec or {}), "p", "ns")
    pools.put(merged(pool, {"metadata": {"uid": "p", "resourceVersion": "1"}}))
    return Aggregator(pools, pods, OperatorMetrics(), lambda key: None)


async def test_a_report_in_two_parts_is_one_report(monkeypatch):
    assert aggregate.METRICS == paths.METRICS
    text = json.dumps(to_mapping(a_report(policy="sagesched").status)).encode()
    aggregator = an_aggregator()
    async with a_gateway(monkeypatch, text[:700], text[700:]), aggregator.asking():
        await aggregator.ask_all()
    (report,) = aggregator.reports().values()
    assert report.status.policy == "sagesched"


@pytest.mark.parametrize(
    "said",
    [
        {"predictor": {"coverage_90": float("nan")}},
        {"predictor": {"coverage_90": float("inf")}},
        {"queue": {"in_flight": 10**400}, "engine": {"slots": 1}},
        {"queue": {"backlog_p50_s": 5e-290, "backlog_p90_s": 1.0}},
        "[" * 100_000,
    ],
    ids=["nan", "inf", "int", "power", "depth"],
)
async def test_nothing_that_is_said_ends_the_operator(monkeypatch, said):
    """Whoever may make a pod anywhere can give it a pool's label, and have it say what he likes."""
    if not isinstance(said, str):
        said = json.dumps({"ready": True, "policy": "fcfs", **said})
    aggregator = an_aggregator({"scaling": {"quantile": 0.95}})
    async with a_gateway(monkeypatch, said.encode()), aggregator.asking():
        await aggregator.ask_all()


async def test_a_pod_does_not_choose_what_is_asked(monkeypatch):
    asked = []

    async def serve(request):
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with serving(monkeypatch, serve):
        aggregator = an_aggregator()
        async with aggregator.asking():
            await aggregator.ask_all()
    assert asked == ["/status"]


async def test_what_was_said_long_ago_is_forgotten(monkeypatch):
    text = json.dumps(to_mapping(a_report().status)).encode()
    aggregator = an_aggregator()
    async with aggregator.asking():
        async with a_gateway(monkeypatch, text):
            await aggregator.ask_all()
        await aggregator.ask_all()  # it is away; what it said still counts
        assert len(aggregator.reports()) == 1
        loop = asyncio.get_running_loop()
        later = loop.time() + FRESH_S + 1
        monkeypatch.setattr(loop, "time", lambda: later)
        await aggregator.ask_all()
    assert not aggregator.reports()


async def test_who_is_asked_now_has_said_so_just_now(monkeypatch):
    aggregator, (pod, *_) = an_aggregator(), [view(a_pod("127.0.0.1"))]
    async with aggregator.asking():
        for policy in ("ssjf", "sagesched"):
            async with a_gateway(
                monkeypatch, json.dumps(to_mapping(a_report(policy=policy).status)).encode()
            ):
                assert (await aggregator.ask_now([pod]))[pod.uid].status.policy == policy
        # It is away: what it said last still counts.
        assert (await aggregator.ask_now([pod]))[pod.uid].status.policy == "sagesched"


async def test_who_is_slow_to_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(aggregate, "_SOON_S", 0.05)
    text = json.dumps(to_mapping(a_report().status)).encode()
    aggregator = an_aggregator()
    async with aggregator.asking(), a_gateway(monkeypatch, *[text[at : at + 1] for at in range(len(text))]):
        began_at = asyncio.get_running_loop().time()
        assert await aggregator.ask_now([view(a_pod("127.0.0.1"))]) == {}
        assert asyncio.get_running_loop().time() - began_at < 2
