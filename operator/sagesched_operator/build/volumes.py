"""Volumes of the pod, and who mounts them where."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.model import ModelSource, UriSource
from sagesched_operator.api.pool import Pool
from sagesched_operator.api.predictor import ArtifactSource
from sagesched_operator.build.fetching import credentials_volumes
from sagesched_operator.build.paths import CERTIFICATES, HISTORY, MODELS, PREDICTOR, RUN, SETTINGS, SOURCE
from sagesched_operator.names import settings_name

Source = ModelSource | ArtifactSource

_SOURCE = "sagesched-source"
_PREDICTOR = "sagesched-predictor"
_HISTORY = "sagesched-history"
_MODELS = "sagesched-models"
_SETTINGS = "sagesched-settings"
_CERTIFICATES = "sagesched-certificates"
_RUN = "sagesched-run"
_TMP = "sagesched-tmp"
_SHM = "sagesched-shm"


def volumes(pool: Pool) -> list[dict[str, Any]]:
    """All volumes of the pod."""
    return [
        {"name": _SOURCE, **_model(pool)},
        {"name": _MODELS, "emptyDir": {"sizeLimit": "64Mi"}},
        {"name": _SETTINGS, "configMap": {"name": settings_name(pool), "defaultMode": 0o444}},
        *_certificates(pool),
        {"name": _RUN, "emptyDir": {"sizeLimit": "1Mi"}},
        *({"name": f"{_TMP}-{owner}", "emptyDir": {}} for owner in _tmp_owners(pool)),
        *_predictor(pool),
        *(volume for what, source in fetched(pool).items() for volume in credentials_volumes(what, source)),
        {"name": _SHM, "emptyDir": {"medium": "Memory", "sizeLimit": pool.spec.resources.shared_memory}},
        *[dict(volume) for volume in pool.spec.pod_template.volumes],
    ]


def _certificates(pool: Pool) -> list[dict[str, Any]]:
    """Read by the gateway through the pod's group."""
    tls = pool.spec.gateway.tls
    if tls is None:
        return []
    return [{"name": _CERTIFICATES, "secret": {"secretName": tls.secret_name, "defaultMode": 0o440}}]


def fetched(pool: Pool) -> dict[str, UriSource]:
    """What comes over the net when a pod starts: `model`, `predictor` or both, and from where."""
    artifact = pool.spec.predictor.artifact
    sources = {
        "model": pool.spec.model.source.uri,
        "predictor": None if artifact is None else artifact.source.uri,
    }
    return {what: source for what, source in sources.items() if source is not None}


def _tmp_owners(pool: Pool) -> list[str]:
    return ["gateway", "triton", *(["fetch"] if fetched(pool) else [])]


def _volume_of(source: Source, digest: str | None) -> dict[str, Any]:
    if source.pvc is not None:
        return {"persistentVolumeClaim": {"claimName": source.pvc.claim_name, "readOnly": True}}
    if source.oci is not None and source.oci.mount == "ImageVolume":
        return {"image": {"reference": pinned(source.oci.image, digest), "pullPolicy": "IfNotPresent"}}
    if source.uri is not None:
        return {"emptyDir": {"sizeLimit": source.uri.size_limit}}
    return {"emptyDir": {}}


def _model(pool: Pool) -> dict[str, Any]:
    source = pool.spec.model.source
    if source.host_path is not None:
        return {"hostPath": {"path": source.host_path.path, "type": "Directory"}}
    return _volume_of(source, pool.spec.model.digest)


def _predictor(pool: Pool) -> list[dict[str, Any]]:
    """What only the gateway mounts."""
    predictor = pool.spec.predictor
    if predictor.mode == "None":
        return []
    snapshot = predictor.history.snapshot
    kept: dict[str, Any] = {"emptyDir": {"sizeLimit": "4Gi"}}
    if snapshot is not None:
        kept = {"persistentVolumeClaim": {"claimName": snapshot.claim_name}}
    volumes = [{"name": _HISTORY, **kept}]
    if predictor.artifact is not None:
        volumes.append(
            {"name": _PREDICTOR, **_volume_of(predictor.artifact.source, predictor.artifact.digest)}
        )
    return volumes


def pinned(image: str, digest: str | None) -> str:
    """The image by its digest, where one is given."""
    return image if digest is None else f"{image.partition('@')[0]}@{digest}"


def source_mount(pool: Pool) -> dict[str, Any]:
    """The model's files; the folder inside a volume or an image volume that the user named."""
    mount = {"name": _SOURCE, "mountPath": SOURCE, "readOnly": True}
    return mount | _sub_path(pool.spec.model.source)


def predictor_mount(source: Source) -> dict[str, Any]:
    """The user's own predictor."""
    return {"name": _PREDICTOR, "mountPath": PREDICTOR, "readOnly": True} | _sub_path(source)


def history_mount() -> dict[str, Any]:
    """What the predictor has learned."""
    return {"name": _HISTORY, "mountPath": HISTORY}


def _sub_path(source: Source) -> dict[str, Any]:
    if source.pvc is not None and source.pvc.path:
        return {"subPath": source.pvc.path}
    if source.oci is not None and source.oci.mount == "ImageVolume" and source.oci.path.strip("/"):
        return {"subPath": source.oci.path.strip("/")}
    return {}


def models_mount(*, writable: bool = False) -> dict[str, Any]:
    """Triton's model repository."""
    return {"name": _MODELS, "mountPath": MODELS, "readOnly": not writable}


def settings_mount() -> dict[str, Any]:
    """The gateway's settings, as a folder: a single file would never change."""
    return {"name": _SETTINGS, "mountPath": SETTINGS, "readOnly": True}


def certificates_mount() -> dict[str, Any]:
    """The gateway's certificates, as a folder, so that they can be renewed."""
    return {"name": _CERTIFICATES, "mountPath": CERTIFICATES, "readOnly": True}


def run_mount(*, writable: bool = False) -> dict[str, Any]:
    """Where the gateway says that it has drained."""
    return {"name": _RUN, "mountPath": RUN, "readOnly": not writable}


def tmp_mount(owner: str) -> dict[str, Any]:
    """A `/tmp` of a container's own."""
    return {"name": f"{_TMP}-{owner}", "mountPath": "/tmp"}


def shm_mount() -> dict[str, Any]:
    """Shared memory of Triton and its backends."""
    return {"name": _SHM, "mountPath": "/dev/shm"}
