"""Init containers: bring the model, check it, lay out Triton's repository with the engine's configuration.

What they say last becomes their termination message, and by that the pool's status.
"""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.model import OciSource
from sagesched_operator.api.pool import Pool
from sagesched_operator.build.fetching import fetch_container
from sagesched_operator.build.images import gateway_image
from sagesched_operator.build.paths import MODELS, SOURCE
from sagesched_operator.build.security import restricted, triton_security
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.build.volumes import (
    Source,
    models_mount,
    pinned,
    predictor_mount,
    source_mount,
    tmp_mount,
)

_MODEST = {"cpu": "100m", "memory": "128Mi"}
"""Requested where Triton's own resources are not given."""


def init_containers(pool: Pool, installation: Installation) -> list[dict[str, Any]]:
    """In the order in which they run."""
    model, artifact = pool.spec.model, pool.spec.predictor.artifact
    containers = _bring("model", pool, model.source, model.digest, source_mount(pool), installation)
    if artifact is not None:
        mount = predictor_mount(artifact.source)
        containers += _bring("predictor", pool, artifact.source, artifact.digest, mount, installation)
    containers.append(_repository(pool, installation))
    resources = _resources(pool)
    return [
        {**container, "resources": resources, "terminationMessagePolicy": "FallbackToLogsOnError"}
        for container in containers
    ]


def _resources(pool: Pool) -> dict[str, Any]:
    """Triton's CPU and memory, which cost nothing more before Triton runs.

    Quotas want every container's, and a pod is of the class Guaranteed only where all have limits.
    """
    given = pool.spec.resources
    limits = {name: given.limits[name] for name in _MODEST if name in given.limits}
    requests = {name: given.requests.get(name, limits.get(name, least)) for name, least in _MODEST.items()}
    return {"requests": requests, **({"limits": limits} if limits else {})}


def _bring(
    what: str,
    pool: Pool,
    source: Source,
    digest: str | None,
    mount: dict[str, Any],
    installation: Installation,
) -> list[dict[str, Any]]:
    """Up to two containers: one that fetches or copies, one that compares with the digest."""
    writable = {**mount, "readOnly": False}
    if source.oci is not None:  # pulled by its digest
        return [_copy(what, pool, source.oci, digest, writable)] if source.oci.mount == "Copy" else []
    containers = []
    if source.uri is not None:
        containers.append(fetch_container(what, source.uri, [writable, tmp_mount("fetch")], installation))
    if digest is not None:
        containers.append(_verify(what, pool, digest, mount, installation))
    return containers


def _copy(
    what: str, pool: Pool, source: OciSource, digest: str | None, mount: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": f"copy-{what}",
        "image": pinned(source.image, digest),
        "command": ["sh", "-c", f'cp -R "$0/." {mount["mountPath"]}/', source.path],
        "securityContext": triton_security(pool),
        "volumeMounts": [mount],
    }


def _verify(
    what: str, pool: Pool, digest: str, mount: dict[str, Any], installation: Installation
) -> dict[str, Any]:
    return {
        "name": f"verify-{what}",
        "image": gateway_image(pool, installation),
        "command": ["sagesched-gateway", "digest"],
        "args": [mount["mountPath"], "--expect", digest],
        "securityContext": restricted(),
        "volumeMounts": [mount],
    }


def _repository(pool: Pool, installation: Installation) -> dict[str, Any]:
    repository = pool.spec.model.repository
    source = SOURCE if repository == "." else f"{SOURCE}/{repository}"
    return {
        "name": "engine-config",
        "image": gateway_image(pool, installation),
        "command": ["sagesched-gateway", "repository"],
        "args": ["--source", source, "--target", MODELS, "--kv-policy", pool.spec.runtime.kv_policy],
        "securityContext": restricted(),
        "volumeMounts": [source_mount(pool), models_mount(writable=True)],
    }
