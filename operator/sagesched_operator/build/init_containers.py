"""Init containers: bring the model; lay out Triton's repository with the engine's configuration changed."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.model import OciSource, UriSource
from sagesched_operator.api.pool import Pool
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

_MODEST = {"requests": {"cpu": "100m", "memory": "128Mi"}}
"""Less than what the pod's containers take later, so that it costs nothing; a quota wants it told."""


def init_containers(pool: Pool, installation: Installation) -> list[dict[str, Any]]:
    """In the order in which they run."""
    model, artifact = pool.spec.model, pool.spec.predictor.artifact
    containers = _bring(
        "model", pool, model.source, model.digest, source_mount(pool, writable=True), installation
    )
    if artifact is not None:
        mount = predictor_mount(artifact.source, writable=True)
        containers += _bring("predictor", pool, artifact.source, artifact.digest, mount, installation)
    return [*containers, _repository(pool, installation)]


def _bring(
    what: str,
    pool: Pool,
    source: Source,
    digest: str | None,
    mount: dict[str, Any],
    installation: Installation,
) -> list[dict[str, Any]]:
    if source.uri is not None:
        return [_fetch(what, source.uri, mount, installation)]
    if source.oci is not None and source.oci.mount == "Copy":
        return [_copy(what, pool, source.oci, digest, mount)]
    return []


def _fetch(what: str, source: UriSource, mount: dict[str, Any], installation: Installation) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": f"fetch-{what}",
        "image": installation.fetch_image,
        "args": [source.uri, mount["mountPath"]],
        # Libraries that fetch keep caches in the home folder.
        "env": [{"name": "HOME", "value": "/tmp"}],
        "resources": _MODEST,
        "securityContext": restricted(),
        "volumeMounts": [mount, tmp_mount("fetch")],
    }
    if source.secret_name is not None:
        container["envFrom"] = [{"secretRef": {"name": source.secret_name}}]
    return container


def _copy(
    what: str, pool: Pool, source: OciSource, digest: str | None, mount: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": f"copy-{what}",
        "image": pinned(source.image, digest),
        "command": ["sh", "-c", f'cp -R "$0/." {mount["mountPath"]}/', source.path],
        "resources": _MODEST,
        "securityContext": triton_security(pool),
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
        "resources": _MODEST,
        "securityContext": restricted(),
        "volumeMounts": [source_mount(pool), models_mount(writable=True)],
    }
