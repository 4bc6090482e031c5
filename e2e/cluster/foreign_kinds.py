"""CustomResourceDefinitions of other projects, as their own modules ship them.

Manifests for Prometheus, KEDA, InferencePool, Argo CD and Flux are checked against the real definitions. Go's
module proxy has them and its checksum database vouches for them; only the files are kept, in the cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ToolError
from cluster.go_toolchain import ensure_go
from cluster.tools import default_cache

DOWNLOAD_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Source:
    """Where some definitions come from.

    Attributes:
        module: Go module with version.
        files: paths inside it.
    """

    module: str
    files: tuple[str, ...]


_MONITORING = "example/prometheus-operator-crd/monitoring.coreos.com_"
_BASES = "config/crd/bases/"

SOURCES = (
    Source(
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        tuple(f"{_MONITORING}{kind}.yaml" for kind in ("podmonitors", "servicemonitors", "prometheusrules")),
    ),
    Source("github.com/kedacore/keda/v2@v2.20.2", (f"{_BASES}keda.sh_scaledobjects.yaml",)),
    Source(
        "sigs.k8s.io/gateway-api-inference-extension@v1.5.0",
        (f"{_BASES}inference.networking.k8s.io_inferencepools.yaml",),
    ),
    Source("github.com/argoproj/argo-cd/v2@v2.14.21", ("manifests/crds/application-crd.yaml",)),
    Source(
        "github.com/fluxcd/source-controller@v1.7.3",
        (f"{_BASES}source.toolkit.fluxcd.io_gitrepositories.yaml",),
    ),
    Source(
        "github.com/fluxcd/kustomize-controller@v1.7.3",
        (f"{_BASES}kustomize.toolkit.fluxcd.io_kustomizations.yaml",),
    ),
    Source(
        "github.com/fluxcd/helm-controller@v1.4.3", (f"{_BASES}helm.toolkit.fluxcd.io_helmreleases.yaml",)
    ),
)


def ensure_foreign_kinds(cache: Path | None = None) -> list[Path]:
    """Files with one definition each, fetched first where need be.

    Apply them by server-side apply: some are longer than the annotation of client-side apply may be.

    Raises:
        ToolError: a module could not be fetched.
    """
    folder = (cache or default_cache()) / "foreign-kinds"
    folder.mkdir(parents=True, exist_ok=True)
    return [file for source in SOURCES for file in _ensure(source, folder)]


def _ensure(source: Source, folder: Path) -> list[Path]:
    kept = {path: folder / f"{source.module.replace('/', '_')}_{Path(path).name}" for path in source.files}
    if not all(file.exists() for file in kept.values()):
        module = module_folder(source.module)
        for path, file in kept.items():
            unfinished = Path(tempfile.mkdtemp(dir=folder)) / "definition"
            shutil.copyfile(module / path, unfinished)
            os.replace(unfinished, file)
            unfinished.parent.rmdir()
    return list(kept.values())


def module_folder(module: str) -> Path:
    """Folder of a module (`path@version`) in Go's cache, fetched first where need be; not to be written to.

    Raises:
        ToolError: it could not be fetched.
    """
    cache = default_cache()
    done = subprocess.run(
        [str(ensure_go(cache)), "mod", "download", "-json", module],
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=DOWNLOAD_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise ToolError(f"{module} could not be fetched: {(done.stdout + done.stderr).strip()[-400:]}")
    return Path(json.loads(done.stdout)["Dir"])
