"""Watches bring whole objects, however large and in however many parts, and are in nobody's way."""

from __future__ import annotations

import asyncio
import json

import yaml
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


async def test_watches_of_many_namespaces_leave_room_for_requests(tmp_path):
    """A dozen kinds are watched in each of `watchNamespaces`, of which there may be a hundred."""
    num_watches, all_watch = 200, asyncio.Event()

    async def answer(request):
        nonlocal num_watches
        if "watch" not in request.query:
            return web.json_response({"resources": []})
        held = web.StreamResponse()
        await held.prepare(request)
        num_watches -= 1
        if not num_watches:
            all_watch.set()
        await asyncio.Event().wait()
        return held

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    named = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        yaml.safe_dump({"kind": "Config", "apiVersion": "v1", "current-context": "x", **named})
    )
    api = await Api.connect(kubeconfig, lambda *_: None)

    async def watch(namespace):
        async for _ in api.watch(DEPLOYMENT, namespace, "", "1", lasting_s=60):
            pass

    watching = [asyncio.create_task(watch(f"n{number}")) for number in range(num_watches)]
    try:
        async with asyncio.timeout(30):
            await all_watch.wait()
            await api.get("/apis/apps/v1")
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await api.close()
        await runner.cleanup()
