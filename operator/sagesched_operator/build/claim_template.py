"""ResourceClaimTemplate: the GPU that Triton and the predictor share, where GPUs are allocated by claims."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, hash_of, manifest

REQUEST = "gpu"
GPU = "nvidia.com/gpu"
"""The device plugin's resource, in whose place the claim comes."""


def claim_template(pool: Pool) -> Manifest:
    """The object."""
    name, content = claim_template_name(pool), _content(pool)
    return manifest(pool, "resource.k8s.io/v1", "ResourceClaimTemplate", name, content)


def claim_template_name(pool: Pool) -> str:
    """With a hash of what it asks for, which cannot be changed."""
    return f"{pool.name}-gpu-{hash_of(_content(pool), 8)}"


def _content(pool: Pool) -> dict[str, Any]:
    gpu = pool.spec.predictor.gpu
    request = {
        "name": REQUEST,
        "exactly": {
            "deviceClassName": gpu.device_class_name,
            "allocationMode": "ExactCount",
            "count": gpu.count or int(pool.spec.resources.limits.get(GPU, 1)),
        },
    }
    return {"spec": {"spec": {"devices": {"requests": [request]}}}}
