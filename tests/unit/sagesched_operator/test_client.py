"""Watches bring whole objects, however large and in however many parts."""

from __future__ import annotations

import json

from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.kinds import DEPLOYMENT


async def test_an_object_of_any_size_comes_by_a_watch():
    events = [
        {"type": "ADDED", "object": {"text": letter * size}} for letter, size in (("a", 400_000), ("b", 9))
    ]

    async def watch(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        text = "".join(json.dumps(event) + "\n" for event in events).encode()
        for start in range(0, len(text), 70_001):
            await answer.write(text[start : start + 70_001])
        return answer

    app = web.Application()
    app.router.add_get("/apis/apps/v1/deployments", watch)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    asked = []
    api = Api(ApiClient(Configuration(host=f"http://{host}:{port}")), lambda *about: asked.append(about))
    try:
        found = [event async for event in api.watch(DEPLOYMENT, None, "", "1", lasting_s=5)]
    finally:
        await api.close()
        await runner.cleanup()
    assert found == [(event["type"], event["object"]) for event in events]
    assert asked == [("watch", "Deployment", 200)]
