"""PrometheusRule: the alerts of one pool. Each names its runbook."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.build.triton_container import LOAD_S

RUNBOOKS = "https://github.com/sagesched/sagesched/blob/main/docs/runbooks"

_REFUSED = 'outcome=~"overloaded|deadline-unreachable|never-fits"'
"""What is refused once its prediction is looked at has been taken before."""

_RENEW_BEFORE_S = 3 * 24 * 3600


def prometheus_rule(pool: Pool, installation: Installation) -> Manifest:
    """The object."""
    of_pool = f'namespace="{pool.namespace}",pool="{pool.name}"'
    target_s = pool.spec.scaling.target_backlog_seconds
    triton = f"sagesched_gateway_triton_metrics_up{{{of_pool}}}"
    rules = [
        _alert(
            "SageSchedBacklogAboveTarget",
            # Nothing waits for pods that still load their models, and they help nobody yet.
            f"avg(sagesched_gateway_backlog_seconds{{{of_pool}}} unless {triton} == 0) > {target_s}",
            "10m",
            "warning",
            f"More than {target_s} s of predicted work wait for each pod.",
        ),
        _alert(
            "SageSchedRequestsRefused",
            f"sum(rate(sagesched_gateway_requests_refused_total{{{of_pool}}}[5m])) > 0 "
            f"or sum(rate(sagesched_gateway_requests_finished_total{{{of_pool},{_REFUSED}}}[5m])) > 0",
            "5m",
            "warning",
            "Callers are refused.",
        ),
        _alert(
            "SageSchedSettingsRefused",
            f"min(sagesched_gateway_config_valid{{{of_pool}}}) == 0",
            "2m",
            "critical",
            "A gateway refuses its settings and runs on older ones.",
        ),
        _alert(
            "SageSchedTritonAway",
            # Triton opens its ports once its models are loaded, for which it is given so long.
            f"min({triton} == 0 and "
            f"(max_over_time({triton}[{LOAD_S}s]) == 1 or {triton} offset {LOAD_S}s)) == 0",
            "5m",
            "critical",
            "A gateway cannot reach its Triton, which is not loading its models for the first time.",
        ),
    ]
    if pool.spec.gateway.tls is not None:
        expires = "sagesched_gateway_tls_certificate_expires_timestamp_seconds"
        rules.append(
            _alert(
                "SageSchedCertificateExpires",
                f"min({expires}{{{of_pool}}}) - time() < {_RENEW_BEFORE_S} "
                f"or min(sagesched_gateway_tls_files_valid{{{of_pool}}}) == 0",
                "15m",
                "critical",
                "A gateway's certificate expires within three days, or its renewal is refused.",
            )
        )
    if pool.spec.predictor.mode != "None":
        rules.append(
            _alert(
                "SageSchedPredictorDown",
                f"min(sagesched_predictor_ready{{{of_pool}}}) == 0",
                "10m",
                "warning",
                "A predictor does not run; its requests are ordered without predictions.",
            )
        )
    groups = [{"name": f"sagesched.{pool.namespace}.{pool.name}", "rules": rules}]
    content, labels = {"spec": {"groups": groups}}, installation.monitor_labels
    return manifest(pool, "monitoring.coreos.com/v1", "PrometheusRule", pool.name, content, labels=labels)


def _alert(name: str, expr: str, lasting: str, severity: str, summary: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expr,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "runbook_url": f"{RUNBOOKS}/{name}.md"},
    }
