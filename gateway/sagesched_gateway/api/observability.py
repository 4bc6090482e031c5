"""The metrics port: `/metrics`, `/status`, `/healthz`, `/readyz`."""

from __future__ import annotations

import json
import platform
from collections.abc import AsyncIterator
from importlib import metadata

import aiohttp
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, generate_latest

from sagesched_gateway.api.prometheus_text import join
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.drain_budget import DrainBudget
from sagesched_gateway.dispatch.ports import DispatchSnapshot, Readiness
from sagesched_gateway.metrics import SnapshotCollector
from sagesched_gateway.settings.live import LiveSettings
from sagesched_gateway.status import (
    ConfigStatus,
    DrainStatus,
    EngineStatus,
    GatewayStatus,
    PredictorStatus,
    QueueStatus,
    TenantStatus,
    TlsStatus,
    to_mapping,
)
from sagesched_gateway.tls.follower import CertificateFollower

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_TRITON_TIMEOUT_S = 2.0
MOST_TENANTS = 32
"""At most so many tenants are shown one by one."""

_COMPONENTS = ("sagesched", "aiohttp", "grpcio", "tritonclient")


def build_metrics_app(
    dispatcher: Dispatcher,
    registry: CollectorRegistry,
    triton_metrics_address: str,
    *,
    readiness: Readiness,
    settings: LiveSettings,
    drain_budget: DrainBudget,
    certificates: CertificateFollower | None = None,
) -> web.Application:
    """The application to serve on the metrics port.

    Args:
        dispatcher: asked for its snapshot.
        registry: `GatewayMetrics.registry`; the snapshot's gauges are added to it.
        triton_metrics_address: `host:port` of Triton's metrics endpoint.
        readiness: shared with the other faces.
        settings: the settings in effect.
        drain_budget: what a drain is given.
        certificates: of the other faces; None where they are served without TLS.
    """
    observability = _Observability(
        dispatcher, registry, triton_metrics_address, readiness, settings, drain_budget, certificates
    )
    app = web.Application(handler_args={"access_log": None})
    app.cleanup_ctx.append(observability.running)
    app.router.add_get("/metrics", observability.metrics)
    app.router.add_get("/status", observability.status)
    app.router.add_get("/healthz", observability.healthz)
    app.router.add_get("/readyz", observability.readyz)
    return app


class _Observability:
    def __init__(
        self,
        dispatcher: Dispatcher,
        registry: CollectorRegistry,
        triton_metrics_address: str,
        readiness: Readiness,
        settings: LiveSettings,
        drain_budget: DrainBudget,
        certificates: CertificateFollower | None,
    ) -> None:
        self._dispatcher = dispatcher
        self._registry = registry
        self._triton_url = f"http://{triton_metrics_address}/metrics"
        self._readiness = readiness
        self._settings = settings
        self._drain_budget = drain_budget
        self._certificates = certificates
        self._versions = {"python": platform.python_version()} | {
            name: metadata.version(name) for name in _COMPONENTS
        }
        self._gauges = SnapshotCollector(
            dispatcher.snapshot, settings, version=self._versions["sagesched"], certificates=certificates
        )
        registry.register(self._gauges)
        self._session: aiohttp.ClientSession | None = None

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Hold a connection to Triton while the application runs (an aiohttp cleanup context)."""
        timeout = aiohttp.ClientTimeout(total=_TRITON_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout)
        yield
        await self._session.close()

    async def metrics(self, _: web.Request) -> web.Response:
        """The gateway's series, then Triton's; the gateway's alone where Triton cannot be read."""
        triton = await self._triton_text()
        self._gauges.triton_is_up = triton is not None
        own = generate_latest(self._registry).decode()
        text = join(own, triton or "", queued=self._dispatcher.snapshot().queued)
        return web.Response(body=text.encode(), headers={hdrs.CONTENT_TYPE: _TEXT_FORMAT})

    async def status(self, _: web.Request) -> web.Response:
        """The gateway's report, see `sagesched_gateway.status`."""
        body = json.dumps(to_mapping(self._report()))
        return web.Response(text=body, content_type="application/json")

    async def healthz(self, _: web.Request) -> web.Response:
        """The process answers."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Ready for work, or 503 with the reason."""
        if self._readiness.is_ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text=f"{self._readiness.reason}\n")

    async def _triton_text(self) -> str | None:
        assert self._session is not None, "the application is running"
        try:
            async with self._session.get(self._triton_url) as answer:
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None  # told by the series sagesched_gateway_triton_metrics_up

    def _report(self) -> GatewayStatus:
        state, settings = self._dispatcher.snapshot(), self._settings
        outlook = self._dispatcher.outlook()
        return GatewayStatus(
            ready=self._readiness.is_ready,
            reason=self._readiness.reason,
            draining=state.draining,
            policy=state.policy,
            policy_note=state.policy_note,
            policy_reason=state.policy_reason,
            configured_policy=settings.config.scheduling.policy,
            config_digest=settings.digest,
            config=ConfigStatus(
                file_digest=settings.file_digest,
                error=settings.problem,
                waits_for_restart=settings.waiting,
            ),
            tls=_tls(self._certificates),
            queue=QueueStatus(
                queued=state.queued,
                queued_bytes=state.queued_bytes,
                in_flight=state.in_flight,
                backlog_s=state.backlog_s,
                backlog_p50_s=outlook.backlog_p50_s,
                backlog_p90_s=outlook.backlog_p90_s,
                eta_p50_s=outlook.eta_p50_s,
                eta_p90_s=outlook.eta_p90_s,
                oldest_wait_s=state.oldest_wait_s,
                gamma=state.gamma,
                evictions=state.evictions,
                discarded_tokens=state.discarded_tokens,
            ),
            engine=_engine(state),
            predictor=_predictor(state),
            drain=DrainStatus(
                in_flight_s=outlook.drain_in_flight_s,
                all_s=outlook.drain_all_s,
                max_s=settings.config.drain.max_s,
                budget_s=self._drain_budget.seconds(settings.config.drain),
            ),
            tenants=tuple(TenantStatus(**tenant._asdict()) for tenant in state.tenants[:MOST_TENANTS]),
            counters=dict(state.counters),
            versions=self._versions,
        )


def _tls(certificates: CertificateFollower | None) -> TlsStatus:
    if certificates is None:
        return TlsStatus()
    return TlsStatus(enabled=True, expires_at=certificates.expires_at, problem=certificates.trouble)


def _engine(state: DispatchSnapshot) -> EngineStatus:
    return EngineStatus(
        slots=state.slots,
        kv_blocks=state.kv_blocks,
        kv_blocks_reserved=state.kv_blocks_reserved,
        kv_blocks_usable=state.kv_blocks_usable,
        iteration_s=state.iteration_s,
        foreign_requests=state.strangers,
        metrics_stale=state.metrics_stale,
        waits=state.engine_waits,
    )


def _predictor(state: DispatchSnapshot) -> PredictorStatus:
    predictor, trust = state.predictor, state.trust
    return PredictorStatus(
        mode=predictor.mode,
        state=predictor.state,
        provider=predictor.provider,
        fallback=predictor.fallback,
        history=predictor.history,
        restarts=predictor.restarts,
        problem=predictor.problem,
        calibrated=trust.calibrated,
        useful=trust.useful,
        reason=trust.reason,
        coverage_50=trust.coverage.get(0.5),
        coverage_80=trust.coverage.get(0.8),
        coverage_90=trust.coverage.get(0.9),
        rescale=trust.rescale.factor,
        concordance=trust.concordance,
    )
