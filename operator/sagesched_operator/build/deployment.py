"""Deployment: keeps the pods. The operator alone writes its replicas."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.names import selector_of

_PROGRESS_DEADLINE_S = 1800
"""Loading a model takes minutes; a rollout without any progress for so long is told as Degraded."""


def deployment(pool: Pool, template: dict[str, Any]) -> Manifest:
    """The object."""
    rollout = pool.spec.rollout
    spec = {
        "replicas": wanted_pods(pool),
        "revisionHistoryLimit": rollout.revision_history,
        "progressDeadlineSeconds": _PROGRESS_DEADLINE_S,
        "selector": {"matchLabels": selector_of(pool)},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable},
        },
        "template": template,
    }
    return manifest(pool, "apps/v1", "Deployment", pool.name, {"spec": spec})


def wanted_pods(pool: Pool) -> int:
    """Pods that the pool should have now."""
    return 0 if pool.spec.suspend else pool.spec.replicas
