"""One look at a pool, where the operator itself is at fault."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

sys.path.insert(0, str(Path(__file__).parent))

from pool_cases import SMALLEST, a_pool

from sagesched_operator.build.surroundings import Installation
from sagesched_operator.cluster.client import Api
from sagesched_operator.control.children import Children
from sagesched_operator.control.reconcile import Reconciler
from sagesched_operator.control.store import PoolStore


class BrokenApplier:
    async def apply(self, *_):
        raise ZeroDivisionError("nothing to divide by")


async def test_a_mistake_of_the_operators_own_is_told_on_the_pool_and_still_raised():
    written, events, pool = [], [], a_pool(SMALLEST)
    metadata = {**pool["metadata"], "generation": 7, "resourceVersion": "1", "uid": "u"}

    async def patch(request):
        written.append((await request.json())["status"])
        kept = {**pool, "metadata": {**metadata, "resourceVersion": "2"}, "status": written[-1]}
        return web.json_response(kept)

    async def event(request):
        events.append((await request.json())["reason"])
        return web.json_response({}, status=201)

    app = web.Application()
    app.router.add_patch("/apis/serving.sagesched.io/{path:.*}/status", patch)
    app.router.add_post("/api/v1/namespaces/{namespace}/events", event)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    api = Api(ApiClient(Configuration(host=f"http://{host}:{port}")), lambda *_: None)
    pools = PoolStore(lambda _: None)
    pools.put({**pool, "metadata": metadata})
    children = Children(api, (), lambda _: None, lambda: None)
    reconciler = Reconciler(api, pools, children, BrokenApplier(), dict, Installation())
    try:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await reconciler.reconcile((metadata["namespace"], metadata["name"]))
    finally:
        await api.close()
        await runner.cleanup()
    (status,) = written  # and not again each time it is tried
    assert status["observedGeneration"] == 7
    told = {one["type"]: (one["status"], one["reason"], one["message"]) for one in status["conditions"]}
    assert told["Stalled"] == (
        "True",
        "OperatorFailed",
        "the operator fails at this pool: ZeroDivisionError: nothing to divide by",
    )
    assert told["Ready"][:2] == ("False", "OperatorFailed")
    assert events == ["OperatorFailed"]
