"""The composition root of `sagesched-operator run`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc.aio
from aiohttp import web

from sagesched_operator.build.surroundings import Installation
from sagesched_operator.cluster.cache import PoolKey
from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.discovery import may_list, until_served
from sagesched_operator.cluster.kinds import POD, POOL
from sagesched_operator.control.aggregate import PERIOD_S, Aggregator
from sagesched_operator.control.apply import Applier
from sagesched_operator.control.children import Children
from sagesched_operator.control.lease import Elector
from sagesched_operator.control.metrics import OperatorMetrics
from sagesched_operator.control.queue import WorkQueue
from sagesched_operator.control.reconcile import Reconciler
from sagesched_operator.control.scaler_service import ScalerService
from sagesched_operator.control.store import PoolStore
from sagesched_operator.control.web import build_app
from sagesched_operator.control.workers import Workers
from sagesched_operator.handlers import watch_pools

_LOG = logging.getLogger(__name__)

_GATHER_S = 0.05
"""Changes of a pool's children come in bursts; one look serves all that come within this time."""

_HEAR_S = 15.0
"""Longest wait for the first round of reports, many of them unreachable."""

_LOOK_AGAIN_S = 30.0
"""How often it is looked whether a namespace can be looked into by now."""

_LAST_ANSWERS_S = 1.0
"""For requests that are being answered when the operator ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run.

    Attributes:
        kubeconfig: None as the pod that we run in.
        namespaces: to look into; none for the whole cluster.
        web_address: `host:port` of metrics and probes.
        scaler_address: `host:port` of the external scaler.
        lease_name: name of the Lease in the installation's namespace.
        reports_each_s: how often gateways are asked for their status.
        installation: what builders know.
    """

    kubeconfig: Path | None = None
    namespaces: Sequence[str] = ()
    web_address: str = "0.0.0.0:8080"
    scaler_address: str = "0.0.0.0:9090"
    lease_name: str = "sagesched-operator"
    reports_each_s: float = PERIOD_S
    installation: Installation = field(default_factory=Installation)


class Operator:
    """All parts of one operator."""

    def __init__(self, options: RunOptions) -> None:
        """Put the parts together; `run` starts them. Must be called inside the event loop."""
        self._options = options
        self._metrics = OperatorMetrics()
        self._queue = WorkQueue()
        self._pools = PoolStore(self._look_soon)
        self._stop = asyncio.Event()
        self._follows_pools = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        options = self._options
        api = await Api.connect(options.kubeconfig, self._metrics.request)
        rights = zip(options.namespaces, await may_list(api, POOL, options.namespaces), strict=True)
        closed = [name for name, is_open in rights if is_open is False]
        # Where all are closed, kopf says so and ends: none would mean the whole cluster.
        namespaces = [name for name in options.namespaces if name not in closed] or options.namespaces
        identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid4().hex[:8]}"
        elector = Elector(api, options.installation.namespace, options.lease_name, identity)
        children = Children(api, namespaces, self._look_soon, self._look_at_all)
        aggregator = Aggregator(
            self._pools,
            children.cache(POD.name),
            self._metrics,
            self._look_soon,
            period_s=options.reports_each_s,
        )
        self._metrics.serve_signals(aggregator.signals)
        applier = Applier(api, children, self._metrics, aggregator.ask_now)
        reconciler = Reconciler(api, self._pools, children, applier, aggregator.reports, options.installation)
        workers = Workers(self._queue, reconciler, self._metrics)
        parts = [
            children.run(),
            aggregator.run(children.synced),
            elector.run(),
            self._lead(elector, children, aggregator, workers),
            self._until_open(api, closed),
        ]
        try:
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(elector.release)
                await self._serve(stack, children, ScalerService(aggregator.signal))
                for part in parts:
                    stack.push_async_callback(_cancelled, self._start(part))
                await watch_pools(
                    self._pools,
                    options.kubeconfig,
                    namespaces,
                    identity=identity,
                    stop=self._stop,
                    ready=self._follows_pools,
                    begin=partial(until_served, api, POOL),
                    end=stack.aclose,
                )
            self._raise_failure()
        finally:
            await api.close()

    def _start(self, part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(part)
        task.add_done_callback(self._part_ended)
        return task

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
            self._stop.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _lead(
        self, elector: Elector, children: Children, aggregator: Aggregator, workers: Workers
    ) -> None:
        await children.synced()
        await self._follows_pools.wait()
        with contextlib.suppress(TimeoutError):
            # Before the gateways have been heard a pool's status would be written as unknown, and back again.
            await asyncio.wait_for(aggregator.has_asked.wait(), _HEAR_S)
        while True:
            await elector.leads.wait()
            self._metrics.leads.set(1)
            self._look_at_all()
            work = asyncio.create_task(workers.run())
            over = asyncio.create_task(elector.follows.wait())
            try:
                await asyncio.wait({work, over}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._metrics.leads.set(0)
                await _cancelled(work)
                await _cancelled(over)

    async def _until_open(self, api: Api, closed: Sequence[str]) -> None:
        """A namespace that is gone, or where the right was taken away, is nothing to the others.

        kopf cannot be told of another later: the operator ends when there is one, to be started anew.
        """
        if not closed:
            return
        _LOG.warning("no right to list pools in %s; looking after the others", ", ".join(closed))
        while not any(await may_list(api, POOL, closed)):  # noqa: ASYNC110  # what is waited for is elsewhere
            await asyncio.sleep(_LOOK_AGAIN_S)
        _LOG.info("the right to list pools in %s is there; ending, to be started anew", " or ".join(closed))
        self._stop.set()

    async def _serve(
        self, stack: contextlib.AsyncExitStack, children: Children, scaler: ScalerService
    ) -> None:
        options = self._options
        app = build_app(self._metrics.registry, lambda: children.is_synced and self._follows_pools.is_set())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_ANSWERS_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        host, _, port = options.web_address.rpartition(":")
        # As gRPC means it too, every address is meant: a pod may have none but one of IPv6.
        await web.TCPSite(runner, None if host == "0.0.0.0" else host, int(port)).start()
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((scaler.handlers(),))
        server.add_insecure_port(options.scaler_address)
        await server.start()
        stack.push_async_callback(server.stop, _LAST_ANSWERS_S)

    def _look_soon(self, key: PoolKey) -> None:
        self._metrics.pools.set(len(self._pools))
        self._queue.add(key, _GATHER_S)

    def _look_at_all(self) -> None:
        for key in self._pools:
            self._queue.add(key)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
