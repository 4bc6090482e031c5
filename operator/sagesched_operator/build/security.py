"""Security contexts: what the pods may do."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool

USER = 1000
"""Triton's images have it as `triton-server`; ours have it too."""


def pod_security(pool: Pool) -> dict[str, Any]:
    """Of the pod. Baseline leaves the user to Triton's image."""
    security: dict[str, Any] = {
        "fsGroup": pool.spec.pod_template.fs_group,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if pool.spec.security.pod_security == "Restricted":
        security |= {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER}
    return security


def restricted() -> dict[str, Any]:
    """Of our own containers, always."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def triton_security(pool: Pool) -> dict[str, Any]:
    """Of Triton's container, and of the one that copies from the model's image."""
    if pool.spec.security.pod_security == "Restricted":
        return restricted()
    return {"allowPrivilegeEscalation": False}
