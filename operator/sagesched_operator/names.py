"""Names and labels of what belongs to a pool."""

from __future__ import annotations

from sagesched_operator.api.pool import GROUP, Pool

FIELD_MANAGER = "sagesched-operator"
POOL_LABEL = f"{GROUP}/pool"
MANAGED_BY = {"app.kubernetes.io/managed-by": FIELD_MANAGER}
APPLIED_HASH = f"{GROUP}/applied-hash"
"""Annotation of every child: hash of what was applied, so that a restart knows that nothing has to be."""

SETTINGS_HASH = f"{GROUP}/settings-hash"
"""Annotation of the pod template: hash of the settings that only new pods take over."""

SETTINGS_DIGEST = f"{GROUP}/settings-digest"
"""Annotation of a running pod: changing it hastens kubelet's sync of the mounted settings."""

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
COMPONENT = "serving.sagesched.io/component"


def labels_of(pool: Pool) -> dict[str, str]:
    """Labels of every child."""
    return {
        "app.kubernetes.io/name": "llmservingpool",
        "app.kubernetes.io/instance": pool.name,
        **MANAGED_BY,
        POOL_LABEL: pool.name,
    }


def selector_of(pool: Pool) -> dict[str, str]:
    """Labels that choose the pool's pods, and nothing else."""
    return {POOL_LABEL: pool.name}


def settings_name(pool: Pool) -> str:
    """The ConfigMap with the gateway's settings."""
    return f"{pool.name}-gateway"
