"""ResourceClaimTemplate: the GPU that Triton and the predictor share, where GPUs are allocated by claims."""

from __future__ import annotations

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest

REQUEST = "gpu"
GPU = "nvidia.com/gpu"
"""The device plugin's resource, in whose place the claim comes."""


def claim_template(pool: Pool) -> Manifest:
    """The object."""
    gpu = pool.spec.predictor.gpu
    request = {
        "name": REQUEST,
        "exactly": {
            "deviceClassName": gpu.device_class_name,
            "allocationMode": "ExactCount",
            "count": gpu.count or int(pool.spec.resources.limits.get(GPU, 1)),
        },
    }
    content = {"spec": {"spec": {"devices": {"requests": [request]}}}}
    return manifest(pool, "resource.k8s.io/v1", "ResourceClaimTemplate", f"{pool.name}-gpu", content)
