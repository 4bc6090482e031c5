"""Volumes of the pod, and who mounts them where."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.paths import MODELS, RUN, SETTINGS, SOURCE
from sagesched_operator.names import settings_name

_SOURCE = "sagesched-source"
_MODELS = "sagesched-models"
_SETTINGS = "sagesched-settings"
_RUN = "sagesched-run"
_TMP = "sagesched-tmp"
_SHM = "sagesched-shm"


def volumes(pool: Pool) -> list[dict[str, Any]]:
    """All volumes of the pod."""
    return [
        {"name": _SOURCE, **_source(pool)},
        {"name": _MODELS, "emptyDir": {"sizeLimit": "64Mi"}},
        {"name": _SETTINGS, "configMap": {"name": settings_name(pool), "defaultMode": 0o444}},
        {"name": _RUN, "emptyDir": {"sizeLimit": "1Mi"}},
        *({"name": f"{_TMP}-{owner}", "emptyDir": {}} for owner in _tmp_owners(pool)),
        {"name": _SHM, "emptyDir": {"medium": "Memory", "sizeLimit": pool.spec.resources.shared_memory}},
        *[dict(volume) for volume in pool.spec.pod_template.volumes],
    ]


def _tmp_owners(pool: Pool) -> list[str]:
    return ["gateway", "triton", *(["fetch"] if pool.spec.model.source.uri is not None else [])]


def _source(pool: Pool) -> dict[str, Any]:
    source, digest = pool.spec.model.source, pool.spec.model.digest
    if source.pvc is not None:
        return {"persistentVolumeClaim": {"claimName": source.pvc.claim_name, "readOnly": True}}
    if source.host_path is not None:
        return {"hostPath": {"path": source.host_path.path, "type": "Directory"}}
    if source.oci is not None and source.oci.mount == "ImageVolume":
        return {"image": {"reference": pinned(source.oci.image, digest), "pullPolicy": "IfNotPresent"}}
    if source.uri is not None:
        return {"emptyDir": {"sizeLimit": source.uri.size_limit}}
    return {"emptyDir": {}}


def pinned(image: str, digest: str | None) -> str:
    """The image by its digest, where one is given."""
    return image if digest is None else f"{image.partition('@')[0]}@{digest}"


def source_mount(pool: Pool, *, writable: bool = False) -> dict[str, Any]:
    """The model's files; the folder inside a volume or an image volume that the user named."""
    source = pool.spec.model.source
    mount: dict[str, Any] = {"name": _SOURCE, "mountPath": SOURCE, "readOnly": not writable}
    if source.pvc is not None and source.pvc.path:
        mount["subPath"] = source.pvc.path
    if source.oci is not None and source.oci.mount == "ImageVolume" and source.oci.path.strip("/"):
        mount["subPath"] = source.oci.path.strip("/")
    return mount


def models_mount(*, writable: bool = False) -> dict[str, Any]:
    """Triton's model repository."""
    return {"name": _MODELS, "mountPath": MODELS, "readOnly": not writable}


def settings_mount() -> dict[str, Any]:
    """The gateway's settings, as a folder: a single file would never change."""
    return {"name": _SETTINGS, "mountPath": SETTINGS, "readOnly": True}


def run_mount(*, writable: bool = False) -> dict[str, Any]:
    """Where the gateway says that it has drained."""
    return {"name": _RUN, "mountPath": RUN, "readOnly": not writable}


def tmp_mount(owner: str) -> dict[str, Any]:
    """A `/tmp` of a container's own."""
    return {"name": f"{_TMP}-{owner}", "mountPath": "/tmp"}


def shm_mount() -> dict[str, Any]:
    """Shared memory of Triton and its backends."""
    return {"name": _SHM, "mountPath": "/dev/shm"}
