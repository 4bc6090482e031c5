"""ResourceClaimTemplate: the GPU that Triton and the predictor share, where GPUs are allocated by claims."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.api.reading import SpecError
from sagesched_operator.build.manifest import Manifest, hash_of, manifest
from sagesched_operator.quantities import amount_of

REQUEST = "gpu"
GPU = "nvidia.com/gpu"
"""The device plugin's resource, in whose place the claim comes."""


def claim_template(pool: Pool) -> Manifest:
    """The object.

    Raises:
        SpecError: Triton's limit is no whole number of GPUs.
    """
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
            "count": gpu.count or _gpus_of_triton(pool),
        },
    }
    return {"spec": {"spec": {"devices": {"requests": [request]}}}}


def _gpus_of_triton(pool: Pool) -> int:
    given = pool.spec.resources.limits.get(GPU, 1)
    amount = amount_of(given)
    if amount is None or amount != int(amount):
        raise SpecError(f"spec.resources.limits.{GPU}: must be a whole number, not {given!r}")
    return int(amount)
