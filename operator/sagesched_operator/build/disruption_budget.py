"""PodDisruptionBudget: how many pods node drains may take at once. Broken pods never hold a drain up."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.names import selector_of


def disruption_budget(pool: Pool) -> Manifest:
    """The object."""
    disruption = pool.spec.disruption
    bound: dict[str, Any] = {"maxUnavailable": 1}
    if disruption.min_available is not None:
        bound = {"minAvailable": disruption.min_available}
    elif disruption.max_unavailable is not None:
        bound = {"maxUnavailable": disruption.max_unavailable}
    spec = {
        "selector": {"matchLabels": selector_of(pool)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        **bound,
    }
    return manifest(pool, "policy/v1", "PodDisruptionBudget", pool.name, {"spec": spec})
