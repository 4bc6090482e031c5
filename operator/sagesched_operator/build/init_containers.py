"""Init containers: bring the model; lay out Triton's repository with the engine's configuration changed."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.model import OciSource, UriSource
from sagesched_operator.api.pool import Pool
from sagesched_operator.build.images import gateway_image
from sagesched_operator.build.paths import MODELS, SOURCE
from sagesched_operator.build.security import restricted, triton_security
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.build.volumes import models_mount, pinned, source_mount, tmp_mount


def init_containers(pool: Pool, installation: Installation) -> list[dict[str, Any]]:
    """In the order in which they run."""
    source = pool.spec.model.source
    containers = []
    if source.uri is not None:
        containers.append(_fetch(pool, source.uri, installation))
    if source.oci is not None and source.oci.mount == "Copy":
        containers.append(_copy(pool, source.oci))
    return [*containers, _repository(pool, installation)]


def _fetch(pool: Pool, source: UriSource, installation: Installation) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "fetch-model",
        "image": installation.fetch_image,
        "args": [source.uri, SOURCE],
        # Libraries that fetch keep caches in the home folder.
        "env": [{"name": "HOME", "value": "/tmp"}],
        "securityContext": restricted(),
        "volumeMounts": [source_mount(pool, writable=True), tmp_mount("fetch")],
    }
    if source.secret_name is not None:
        container["envFrom"] = [{"secretRef": {"name": source.secret_name}}]
    return container


def _copy(pool: Pool, source: OciSource) -> dict[str, Any]:
    return {
        "name": "copy-model",
        "image": pinned(source.image, pool.spec.model.digest),
        "command": ["sh", "-c", f'cp -R "$0/." {SOURCE}/', source.path],
        "securityContext": triton_security(pool),
        "volumeMounts": [source_mount(pool, writable=True)],
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
