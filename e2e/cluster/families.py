"""The programs of a cluster, by family.

Each family has a Go module of its own (a folder of `tools/`), since their dependencies exclude one another.
Versions stand in each module's go.mod and nowhere else.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

TOOLS_FOLDER = Path(__file__).parent / "tools"


@dataclass(frozen=True, slots=True)
class Family:
    """Programs that are built from one module.

    Attributes:
        name: folder below `tools/`.
        module: the Go module whose version is the family's.
        programs: name of each program → its main package, as `go build` takes it.
        stamps: variables that the linker sets: name → template of `version`, `major` and `minor`, and of
            `api`, the minor version of Kubernetes' client library. Without them Kubernetes calls itself
            v0.0.0, which Helm and kubectl would believe, and Helm takes an offline cluster for v1.20.
        version_arguments: program → what makes it print its version; one that is not here is always built.
    """

    name: str
    module: str
    programs: dict[str, str]
    stamps: dict[str, str]
    version_arguments: dict[str, tuple[str, ...]]

    @property
    def folder(self) -> Path:
        """Where go.mod and go.sum are."""
        return TOOLS_FOLDER / self.name

    @property
    def version(self) -> str:
        """Version of the module, without the leading v."""
        return self._required(self.module)

    @property
    def key(self) -> str:
        """Name of this family's folder in a cache: changes with whatever the programs are built from."""
        digest = hashlib.sha256()
        for file in sorted((*self.folder.glob("go.*"), *self.folder.glob("*.go"))):
            digest.update(file.read_bytes())
        digest.update(self.link_flags().encode())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    def link_flags(self) -> str:
        """Flags for Go's linker: no symbol tables, and the stamps."""
        major, minor = self.version.split(".")[:2]
        api = self._required("k8s.io/client-go").split(".")[1:2]
        values = {"version": self.version, "major": major, "minor": minor, "api": "".join(api)}
        stamps = (f"-X {name}={value.format(**values)}" for name, value in self.stamps.items())
        return " ".join(("-s -w", *stamps))

    def _required(self, module: str) -> str:
        """Version of a module in go.mod; empty where it is not there."""
        found = re.search(rf"^\s*{re.escape(module)} v(\S+)", (self.folder / "go.mod").read_text(), re.M)
        return found.group(1) if found else ""


_COMPONENT = "k8s.io/component-base/version"
_COMPONENT_STAMPS = {
    f"{_COMPONENT}.gitVersion": "v{version}",
    f"{_COMPONENT}.gitMajor": "{major}",
    f"{_COMPONENT}.gitMinor": "{minor}",
    f"{_COMPONENT}.gitTreeState": "clean",
}
_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
_NODE = ("kubelet", "kube-proxy")

FAMILIES = (
    Family(
        name="kubernetes",
        module="k8s.io/kubernetes",
        programs={program: f"k8s.io/kubernetes/cmd/{program}" for program in _KUBERNETES},
        stamps=_COMPONENT_STAMPS,
        version_arguments=dict.fromkeys(_KUBERNETES, ("--version",)) | {"kubectl": ("version", "--client")},
    ),
    Family(
        name="etcd",
        module="go.etcd.io/etcd/server/v3",
        programs={"etcd": "go.etcd.io/etcd/server/v3"},
        stamps={},
        version_arguments={"etcd": ("--version",)},
    ),
    Family(
        name="helm",
        module="helm.sh/helm/v3",
        programs={"helm": "helm.sh/helm/v3/cmd/helm"},
        stamps={
            "helm.sh/helm/v3/internal/version.version": "v{version}",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": "1",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": "{api}",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": "1",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": "{api}",
        },
        version_arguments={"helm": ("version", "--short")},
    ),
    Family(
        name="kubeconform",
        module="github.com/yannh/kubeconform",
        programs={"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
        stamps={"main.version": "v{version}"},
        version_arguments={"kubeconform": ("-v",)},
    ),
    # A program of our own around the library by which Flux and Helm judge objects.
    Family(
        name="kstatus",
        module="github.com/fluxcd/cli-utils",
        programs={"kstatus": "."},
        stamps={},
        version_arguments={},
    ),
)
"""What a control plane needs, and the tools around it."""

NODE_FAMILIES = (
    # Apart from the control plane's, which tests need that never run a pod.
    Family(
        name="node",
        module="k8s.io/kubernetes",
        programs={program: f"k8s.io/kubernetes/cmd/{program}" for program in _NODE},
        stamps=_COMPONENT_STAMPS,
        version_arguments=dict.fromkeys(_NODE, ("--version",)),
    ),
    Family(
        name="coredns",
        module="github.com/coredns/coredns",
        programs={"coredns": "github.com/coredns/coredns"},
        stamps={},
        version_arguments={},
    ),
)
"""What a node needs besides Debian's packages."""
