"""Pods, gateways' reports and Deployments for tests; a test names only what it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pool_cases import SMALLEST, a_pool, merged

from sagesched_gateway.status import (
    ConfigStatus,
    DrainStatus,
    EngineStatus,
    GatewayStatus,
    PredictorStatus,
    QueueStatus,
    TlsStatus,
)
from sagesched_operator.api.pool import Pool, parse_pool
from sagesched_operator.control.pods import PodView
from sagesched_operator.control.reports import Report


def the_pool(change: dict[str, Any] | None = None, **attributes: Any) -> Pool:
    """The smallest pool with a change."""
    return replace(parse_pool(a_pool(merged(SMALLEST, change or {}))), **attributes)


def a_pod(name: str = "a", *, ready: bool = True, **attributes: Any) -> PodView:
    reason = {} if ready else {"reason": "Starting", "message": "pods are starting"}
    return PodView(
        **{"name": name, "uid": name, "ip": "", "is_ready": ready, "is_ending": False, **reason, **attributes}
    )


def a_report(*, at: float = 0.0, **about: Any) -> Report:
    """A gateway with an engine of 10 slots."""
    predictor = about.pop("predictor", PredictorStatus(mode="HistoryOnly", state="ready", history=5000))
    status = GatewayStatus(
        ready=about.pop("ready", True),
        reason=about.pop("reason", ""),
        policy=about.pop("policy", "gittins-boost"),
        configured_policy=about.pop("configured_policy", "gittins-boost"),
        policy_note=about.pop("policy_note", ""),
        config_digest=about.pop("digest", "d"),
        config=ConfigStatus(file_digest=about.pop("file_digest", "d"), error=about.pop("error", "")),
        engine=EngineStatus(slots=10),
        tls=TlsStatus(problem=about.pop("certificates", "")),
        drain=DrainStatus(all_s=about.pop("work_s", 0.0)),
        predictor=predictor,
        queue=QueueStatus(**about),
    )
    return Report(status, at)


def a_deployment(**counts: int) -> dict[str, Any]:
    """One that has looked at its spec."""
    return {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, **counts}}
