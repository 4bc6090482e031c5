"""`KindCluster`: a node in a container of docker's, by kind, where the bed's own node cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from cluster.errors import ClusterError
from cluster.kubectl import Cluster, captured
from cluster.tools import Tools, default_cache, ensure_tools

NAME = "sagesched"
CONTEXT = f"kind-{NAME}"
_NODE = f"{NAME}-control-plane"
"""Kind's name for the container of the only node."""
_TIMEOUT_S = 1800
_ROOT = Path(__file__).parents[2]


def is_usable() -> bool:
    """Whether kind is on PATH and docker answers."""
    if shutil.which("kind") is None or shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


class KindCluster(Cluster):
    """One node named for us; its kubeconfig is in the cache, and the user's own is left alone."""

    def __init__(self) -> None:
        """Prepare; nothing runs yet."""
        self._kubeconfig = default_cache() / "kind.kubeconfig"
        self._known_tools: Tools | None = None
        self._node_pid = ""

    @property
    def is_up(self) -> bool:
        """Whether there is one of that name."""
        return NAME in _run("kind", "get", "clusters").split()

    def up(self) -> None:
        """Make it.

        Raises:
            ClusterError: kind could not.
        """
        config = f"--kubeconfig={self._kubeconfig}"
        _run("kind", "create", "cluster", f"--name={NAME}", config, "--wait=180s")

    def enter(self) -> None:
        """Find its network, in which clients will run.

        Raises:
            ClusterError: this is not root, or not the machine that docker runs on.
        """
        if os.geteuid() != 0:
            raise ClusterError("clients are started in the network of kind's node, which only root may do")
        _run("kind", "export", "kubeconfig", f"--name={NAME}", f"--kubeconfig={self._kubeconfig}")
        self._node_pid = _run("docker", "inspect", "--format={{.State.Pid}}", _NODE).strip()
        if not Path(f"/proc/{self._node_pid}/ns/net").exists():
            raise ClusterError(f"the process of {_NODE} is not on this machine, so clients cannot reach it")

    def down(self) -> None:
        """Away with it."""
        _run("kind", "delete", "cluster", f"--name={NAME}", f"--kubeconfig={self._kubeconfig}")

    def load(self, images: Iterable[str]) -> None:
        """Bring images of docker's to the node."""
        _run("kind", "load", "docker-image", f"--name={NAME}", *images)

    def run(
        self, program: str, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm as admin; a failure is for the caller to see."""
        command = [self._tools[program], f"--kubeconfig={self._kubeconfig}", *arguments]
        return captured(command, stdin, _TIMEOUT_S)

    def inside(self, *command: str) -> list[str]:
        """The command, run in the node's network: it reaches pods and Services by their addresses."""
        return ["nsenter", f"--net=/proc/{self._node_pid}/ns/net", *command]

    def environment(self) -> dict[str, str]:
        """Of a user of this cluster."""
        folders = [str(Path(self._tools[program]).parent) for program in ("kubectl", "helm")]
        path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
        return os.environ | {"KUBECONFIG": str(self._kubeconfig), "PATH": path}

    @property
    def _tools(self) -> Tools:
        if self._known_tools is None:
            self._known_tools = ensure_tools()
        return self._known_tools


def docker_build(name: str, image: str) -> None:
    """Build one of our images with docker.

    Args:
        name: folder below `images/`.
        image: name and tag that it gets.

    Raises:
        ClusterError: it could not be built.
    """
    # kind's import looks for an image's attestation, which `docker save` may have left out.
    environment = os.environ | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    file = _ROOT / "images" / name / "Dockerfile"
    _run("docker", "build", f"--file={file}", f"--tag={image}", str(_ROOT), environment=environment)


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ClusterError(f"{' '.join(command[:3])} failed:\n{tail}")
    return done.stdout
