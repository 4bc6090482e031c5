"""A proxy between the operator and the API server that makes trouble on order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web


@dataclass
class Trouble:
    """Answers in place of the API server's.

    Attributes:
        fits: which requests, by method and path with query.
        code: HTTP status of the answer.
        body: of the answer, as JSON.
        headers: of the answer.
        left: how many more requests get it.
    """

    fits: Callable[[str, str], bool]
    code: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    left: int = 1


class FaultProxy:
    """Serves on loopback in a thread of its own.

    Attributes:
        seen: (method, path with query) of every request so far.
    """

    def __init__(self, upstream: str, token: str) -> None:
        self.seen: list[tuple[str, str]] = []
        self._upstream = upstream
        self._token = token
        self._troubles: list[Trouble] = []
        self._watches: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._port = 0
        self._stop: asyncio.Event
        started = threading.Event()
        # `run` also cancels what still handles a connection at the end.
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        assert started.wait(10)

    def kubeconfig(self, file: Path) -> Path:
        """To reach the API server by this proxy."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
            "users": [{"name": "u", "user": {"token": "of-the-proxy"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        file.write_text(yaml.safe_dump(config))
        return file

    def make(self, trouble: Trouble) -> Trouble:
        """From now on."""
        self._troubles.append(trouble)
        return trouble

    def end_watches(self) -> None:
        """Cut every open watch, as a load balancer does that restarts."""

        def cut() -> None:
            for task in list(self._watches):
                task.cancel()

        self._loop.call_soon_threadsafe(cut)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=0)) as session:
            app = web.Application(client_max_size=1 << 24)

            async def handle(request: web.Request) -> web.StreamResponse:
                return await self._pass(request, session)

            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert site._server is not None
            self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
            started.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _pass(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        self.seen.append((request.method, request.path_qs))
        for trouble in self._troubles:
            if trouble.left > 0 and trouble.fits(request.method, request.path_qs):
                trouble.left -= 1
                return web.json_response(trouble.body, status=trouble.code, headers=trouble.headers)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in ("accept", "content-type", "user-agent")
        }
        headers["Authorization"] = f"Bearer {self._token}"
        is_watch = "watch=" in request.path_qs
        task = asyncio.current_task()
        assert task is not None
        if is_watch:
            self._watches.add(task)
        try:
            async with session.request(
                request.method,
                self._upstream + request.path_qs,
                headers=headers,
                data=await request.read() or None,
            ) as answer:
                kept = {
                    name: value for name, value in answer.headers.items() if name.lower() == "content-type"
                }
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        finally:
            self._watches.discard(task)
