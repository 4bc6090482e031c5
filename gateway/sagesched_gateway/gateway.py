"""`Gateway`, the composition root: builds all parts, starts them, drains and ends them.

Triton need not be there: the gateway starts without it and is not ready until Triton is.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from aiohttp import web

from sagesched_gateway.api.admin_gate import AdminGate
from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.api.grpc_face.credentials import server_credentials
from sagesched_gateway.api.grpc_face.health import HealthFace
from sagesched_gateway.api.grpc_face.kserve import KServeFace
from sagesched_gateway.api.grpc_face.reflection import ReflectionFace
from sagesched_gateway.api.grpc_face.server import serve_grpc, server_options
from sagesched_gateway.api.grpc_face.stream import StreamBounds
from sagesched_gateway.api.http_face.app import build_http_app, connection_options
from sagesched_gateway.api.http_face.connection import HttpListener
from sagesched_gateway.api.http_face.rotating_context import RotatingContext
from sagesched_gateway.api.observability import build_metrics_app
from sagesched_gateway.api.openai.chat_template import ChatTemplate, find_template
from sagesched_gateway.api.openai.face import OpenAIFace
from sagesched_gateway.api.passed_calls import PassedCalls
from sagesched_gateway.api.sweeper import Sweeper
from sagesched_gateway.dispatch.capacity import CapacityModel
from sagesched_gateway.dispatch.capacity_watch import CapacityWatch
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.drain_budget import DrainBudget
from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.logs import use_level
from sagesched_gateway.metrics import GatewayMetrics
from sagesched_gateway.parts import (
    StartError,
    certificates_of,
    engine_settings_of,
    predictor_of,
    queue_limits_of,
    refuse_both_runtimes,
    tokenizer_of,
    trust_of,
)
from sagesched_gateway.pod.clients import num_connected
from sagesched_gateway.readiness import GatewayReadiness
from sagesched_gateway.recording.recorder import FileRecorder
from sagesched_gateway.settings.config import GatewayConfig
from sagesched_gateway.settings.core import policy_of, pressure_of
from sagesched_gateway.settings.limits import LiveLimits
from sagesched_gateway.settings.live import LiveSettings
from sagesched_gateway.settings.reload import Reloader
from sagesched_gateway.tracing.live import LiveTracing
from sagesched_gateway.triton.client import TritonClient
from sagesched_gateway.triton.engine_metrics import TritonEngineProbe
from sagesched_gateway.triton.metadata import ModelCatalog
from sagesched_gateway.triton.profiles.registry import ProfileChoice
from sagesched_gateway.triton.upstream import TritonUpstream
from sagesched_gateway.triton.watch import TritonWatch
from sagesched_gateway.upkeep import kept_up

_LOG = logging.getLogger(__name__)

_CLOSE_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the gateway listens, `host:port`."""

    grpc: str
    http: str
    metrics: str


class Gateway:
    """All parts of one gateway.

    Attributes:
        addresses: where it listens, ports filled in; set by `start`.
        dispatcher: the door to the engine.
        settings: in effect.
        reloader: follows the settings file; None where there is none.
    """

    addresses: Addresses
    _grpc: grpc.aio.Server
    _http: HttpListener
    _parting: asyncio.Task[None]

    def __init__(self, config: GatewayConfig, config_file: Path | None = None) -> None:
        """Build everything; must be called inside the running event loop. Nothing is connected or bound yet.

        Args:
            config: the settings.
            config_file: where they came from, followed for changes; None for settings that stay.

        Raises:
            StartError: the installation or a file named in the settings cannot be used.
        """
        refuse_both_runtimes()
        self._config = config
        self._certificates = certificates_of(config.listen.tls)
        self.settings = LiveSettings(config)
        self._client = TritonClient(config.triton.grpc)
        tokenizer = tokenizer_of(config.tokenizer)
        choice = ProfileChoice(
            overrides=dict(config.profiles), tokenizer=tokenizer, counts_prompts=tokenizer is None
        )
        catalog = ModelCatalog(self._client, choice)
        capacity = CapacityModel(engine_settings_of(config.engine))
        self._probe = TritonEngineProbe(catalog, config.triton.metrics)
        self._predictor = predictor_of(config.predictor)
        self._telemetry = GatewayMetrics()
        self._attributes = AttributeReader(config.attributes, self._telemetry.attributes_ignored)
        self._recorder = None
        if config.recorder.file is not None:
            self._recorder = FileRecorder(config.recorder, self._telemetry.recorded)
        self._tracing = LiveTracing(config.traces)
        try:
            counter = TokenCounter(tokenizer)
            template = find_template(config.openai.chat_template, config.tokenizer)
            self.dispatcher = Dispatcher(
                upstream=TritonUpstream(self._client, catalog),
                predictor=self._predictor,
                telemetry=self._telemetry,
                counter=counter,
                capacity=capacity,
                policy=policy_of(config.scheduling),
                pressure=pressure_of(config),
                limits=queue_limits_of(config.limits),
                recorder=self._recorder,
                until_back=lambda: self._watch.until_ready(),
                trust=trust_of(config.predictor.calibration),
                separates_tenants=config.predictor.history.by_tenant,
                tracing=self._tracing,
            )
            self._openai = OpenAIFace(
                self.dispatcher,
                config=config.openai,
                limits=LiveLimits(self.settings),
                counter=counter,
                template=None if template is None else ChatTemplate(template),
                reader=self._attributes,
            )
        except ValueError as error:
            raise StartError(str(error)) from error
        clock = asyncio.get_running_loop().time
        self._drain_budget = DrainBudget(self.dispatcher.until_ended_s, clock)
        self._capacity_watch = CapacityWatch(
            self._probe,
            capacity,
            is_busy=lambda: self.dispatcher.num_live > 0,
            is_full=lambda: self.dispatcher.num_waiting > 0,
            ours=self.dispatcher.ours,
            changed=self.dispatcher.capacity_changed,
        )
        self._watch = TritonWatch(self._client, catalog, self._capacity_watch.read_limits)
        self.readiness = GatewayReadiness(self._watch)
        self._gate = AdminGate(config.admin)
        self._sweeper = Sweeper()
        self._passed = PassedCalls()
        self._kserve = KServeFace(
            self.dispatcher,
            self._client,
            self.readiness,
            gate=self._gate,
            reader=self._attributes,
            sweeper=self._sweeper,
            bounds=StreamBounds.of(config),
            passed=self._passed,
        )
        self._health = HealthFace(self.readiness, self._sweeper, self._kserve.check_health)
        self.reloader = None
        if config_file is not None:
            self.reloader = Reloader(config_file, self.settings, self._use, self._telemetry.config_read)
        self._open = AsyncExitStack()

    async def start(self) -> None:
        """Start the parts and bind the addresses; Triton is looked for in the background.

        Raises:
            StartError: an address cannot be bound.
        """
        config = self._config
        if self._recorder is not None:
            self._recorder.start()
            self._open.push_async_callback(self._recorder.close)
        self._open.push_async_callback(self._client.close)
        self._open.push_async_callback(self._probe.close)
        self._open.push_async_callback(self._tracing.close)
        await self._tracing.started()
        await self._predictor.start()
        self._open.push_async_callback(self._predictor.close)
        await self._watch.look()
        works = {
            "the watch over Triton": self._watch.run,
            "the watch over the engine": self._capacity_watch.run,
            "the look at what stays open": self._sweeper.run,
        }
        if self._certificates is not None:
            works["the watch over certificates"] = self._certificates.run
        if self.reloader is not None:
            works["the watch over settings"] = self.reloader.run
        for name, run in works.items():
            self._open.push_async_callback(_cancelled, asyncio.create_task(kept_up(name, run)))
        http = build_http_app(
            self.dispatcher,
            config.triton.http,
            self.readiness,
            limits=LiveLimits(self.settings),
            reader=self._attributes,
            gate=self._gate,
            openai=self._openai.app(),
            passed=self._passed,
        )
        metrics = build_metrics_app(
            self.dispatcher,
            self._telemetry.registry,
            config.triton.metrics,
            readiness=self.readiness,
            settings=self.settings,
            drain_budget=self._drain_budget,
            certificates=self._certificates,
        )
        try:
            self.addresses = Addresses(
                grpc=await self._serve_grpc(config.listen.grpc),
                http=await self._serve_http(http),
                metrics=await self._serve_metrics(metrics),
            )
        except OSError as error:
            raise StartError(str(error)) from error

    def show_leaving(self) -> None:
        """Readiness goes; requests are still taken, and HTTP clients are told to connect anew next time."""
        self.readiness.start_draining()
        self._health.look()
        self._http.ask_to_reconnect()

    def num_connected(self) -> int:
        """Connections of clients that are open."""
        served = (self.addresses.grpc, self.addresses.http)
        return num_connected({int(address.rpartition(":")[2]) for address in served})

    def part(self) -> None:
        """Clients' connections end, each as soon as what runs on it has ended, and no new ones are taken.

        To be called once new connections lead elsewhere. A client of gRPC hears it at once (GOAWAY), and its
        next request goes to another replica without an error. Until it hears, for about as long as a packet
        takes, a request may end as CANCELLED (grpc/grpc#41785); connections that end by age are free of that.
        """
        self._http.part()
        self._parting = asyncio.create_task(self._grpc.stop(self.settings.config.drain.max_s))

    async def drain(self) -> None:
        """Readiness goes, new requests are refused, the rest is finished within the configured time."""
        self.show_leaving()
        config = self.settings.config.drain
        await self.dispatcher.drain(self._drain_budget.begin(config))
        if not await self._passed.until_none(self._drain_budget.seconds(config)):
            _LOG.warning("drain: %d calls passed on to Triton are ended", self._passed.num_busy())

    async def close(self) -> None:
        """End everything that still runs."""
        self.readiness.start_draining()
        await self.dispatcher.abort()
        await self._open.aclose()

    def _use(self, config: GatewayConfig) -> None:
        """Put changed settings into effect, the policy first: it alone may refuse."""
        if config.scheduling != self.settings.config.scheduling:
            self.dispatcher.use_policy(policy_of(config.scheduling))
        if pressure_of(config) != pressure_of(self.settings.config):
            self.dispatcher.use_pressure(pressure_of(config))
        self.dispatcher.use_limits(queue_limits_of(config.limits))
        self._kserve.bounds = StreamBounds.of(config)
        self._tracing.use(config.traces)
        if config.log.level != self.settings.config.log.level:
            use_level(config.log.level)

    async def _serve_grpc(self, address: str) -> str:
        faces = (self._kserve, self._health, ReflectionFace())
        credentials = None
        if self._certificates is not None:
            asks_clients = self._config.listen.tls.require_client_certificates
            credentials = server_credentials(self._certificates, asks_clients=asks_clients)
        self._grpc, port = await serve_grpc(faces, address, server_options(self._config), credentials)
        self._open.push_async_callback(self._grpc.stop, _CLOSE_GRACE_S)
        self._open.callback(self._health.close)
        return _with_port(address, port)

    async def _serve_http(self, app: web.Application) -> str:
        listen, limits = self._config.listen, self._config.limits
        self._http = HttpListener(
            app,
            options=connection_options(limits),
            connection_age_s=listen.connection_age_s,
            close_grace_s=_CLOSE_GRACE_S,
            tls=None if self._certificates is None else RotatingContext.of(self._certificates),
        )
        self._open.push_async_callback(self._http.close)
        return await self._http.start(listen.http)

    async def _serve_metrics(self, app: web.Application) -> str:
        listener = HttpListener(app, options={"access_log": None}, close_grace_s=_CLOSE_GRACE_S)
        self._open.push_async_callback(listener.close)
        return await listener.start(self._config.listen.metrics)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _with_port(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"
