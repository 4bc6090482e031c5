"""Images of one static program on nothing, without a builder: an OCI archive is a tar of a few files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MEDIA = "application/vnd.oci.image"
_PROGRAM_MODE = 0o755
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchImage:
    """One program and how it is started.

    Attributes:
        name: as a pod names it, with a tag.
        program: the file; it must need no library.
        target: absolute path in the image.
        arguments: the rest of the entry point.
        user: numeric, so that `runAsNonRoot` can be checked.
    """

    name: str
    program: Path
    target: str
    arguments: Sequence[str] = ()
    user: str = "65532:65532"


def write_archive(image: ScratchImage, file: Path) -> Path:
    """The image as an OCI archive, which `ctr images import` reads; equal programs make equal archives.

    Returns:
        The file.
    """
    layer = _layer(image)
    squeezed = gzip.compress(layer, compresslevel=1, mtime=0)
    config: dict[str, Any] = {
        "architecture": _ARCHITECTURES[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": [image.target, *image.arguments], "User": image.user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    blobs: dict[str, bytes] = {}

    def keep(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{_MEDIA}.{media_type}", "digest": f"sha256:{digest}", "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": keep(_json(config), "config.v1+json"),
        "layers": [keep(squeezed, "layer.v1.tar+gzip")],
    }
    names = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name}
    index = {
        "schemaVersion": 2,
        "manifests": [keep(_json(manifest), "manifest.v1+json") | {"annotations": names}],
    }
    unfinished = file.with_suffix(f".{os.getpid()}")
    with tarfile.open(unfinished, "w") as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", _json(index))
        for name, content in sorted(blobs.items()):
            _add(archive, name, content)
    unfinished.replace(file)
    return file


def _layer(image: ScratchImage) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, image.target.lstrip("/"), image.program.read_bytes(), _PROGRAM_MODE)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
