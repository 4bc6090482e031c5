"""Which image of the gateway a pool gets."""

from __future__ import annotations

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.surroundings import Installation


def gateway_image(pool: Pool, installation: Installation) -> str:
    """The pool's own, else the release's for the predictor's device."""
    if pool.spec.gateway.image is not None:
        return pool.spec.gateway.image
    on_gpu = pool.spec.predictor.device == "GPU"
    return installation.gateway_gpu_image if on_gpu else installation.gateway_image
