"""How the predictor gets at Triton's GPU: a claim for both containers, or the container runtime's way."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.claim_template import GPU, REQUEST, claim_template_name
from sagesched_operator.build.surroundings import CLAIM_TEMPLATE, Capabilities

CLAIM = "gpu"


def sharing_of(pool: Pool, capabilities: Capabilities) -> str:
    """`Claim` (DRA), `Visible` (NVIDIA_VISIBLE_DEVICES: all GPUs of the node are seen), or `None`."""
    predictor = pool.spec.predictor
    if predictor.device != "GPU":
        return "None"
    if predictor.gpu.sharing != "Auto":
        return predictor.gpu.sharing
    return "Claim" if capabilities.has(CLAIM_TEMPLATE) else "Visible"


def triton_resources(pool: Pool, sharing: str) -> dict[str, Any]:
    """Of Triton's container; with a claim the GPU comes by that and not by the device plugin too."""
    limits, requests = dict(pool.spec.resources.limits), dict(pool.spec.resources.requests)
    if sharing != "Claim":
        return _resources(limits, requests)
    limits.pop(GPU, None)
    requests.pop(GPU, None)
    return _resources(limits, requests) | {"claims": [{"name": CLAIM, "request": REQUEST}]}


def gateway_resources(pool: Pool, sharing: str) -> dict[str, Any]:
    """Of the gateway's container."""
    resources = _resources(
        dict(pool.spec.gateway.resources.limits), dict(pool.spec.gateway.resources.requests)
    )
    if sharing == "Claim":
        resources["claims"] = [{"name": CLAIM, "request": REQUEST}]
    return resources


def gateway_env(sharing: str) -> list[dict[str, Any]]:
    """Variables by which NVIDIA's container runtime lets a container see GPUs it did not ask for."""
    if sharing != "Visible":
        return []
    return [
        {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"},
        {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute,utility"},
    ]


def pod_claims(pool: Pool, sharing: str) -> dict[str, Any]:
    """`resourceClaims` of the pod."""
    if sharing != "Claim":
        return {}
    return {"resourceClaims": [{"name": CLAIM, "resourceClaimTemplateName": claim_template_name(pool)}]}


def _resources(limits: dict[str, Any], requests: dict[str, Any]) -> dict[str, Any]:
    parts = {"limits": limits, "requests": requests}
    return {name: part for name, part in parts.items() if part}
