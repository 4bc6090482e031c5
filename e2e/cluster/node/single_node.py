"""`SingleNode`: the cluster as a whole: up, down, kubectl and helm, images, commands in its network."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cluster import commands
from cluster.errors import ClusterError
from cluster.families import FAMILIES, NODE_FAMILIES
from cluster.kubectl import Cluster, captured
from cluster.node import leavings, programs
from cluster.node.base_images import base_archives, coredns_manifests
from cluster.node.containers import Containers
from cluster.node.control_groups import end_containers, make_control_groups, remove_control_groups
from cluster.node.files import write_files
from cluster.node.layout import NETWORK_NAMESPACE, NODE, NODE_USERS, NodeLayout, default_layout
from cluster.node.namespace import ENTER, make_namespace, remove_namespace
from cluster.node.packages import ensure_packages
from cluster.node.processes import Processes
from cluster.plane_files import write_plane_files
from cluster.tools import Tools, default_cache, ensure_tools

_START_TIMEOUT_S = 90.0
_KUBECTL_TIMEOUT_S = 300
_DEFAULT_ACCOUNT = ("get", "serviceaccount", "default")


class SingleNode(Cluster):
    """A cluster of one node; one at a time on a machine. It stays when this process ends."""

    def __init__(self, layout: NodeLayout | None = None) -> None:
        """Prepare; nothing runs yet.

        Args:
            layout: its files; None takes the usual place in the cache.
        """
        self.layout = layout or default_layout()
        self.containers = Containers(self.layout)
        self._tools: Tools | None = None

    @property
    def tools(self) -> Tools:
        """The programs, built first where need be.

        Raises:
            ToolError: one of them is missing and cannot be built.
        """
        if self._tools is None:
            self._tools = ensure_tools(families=(*FAMILIES, *NODE_FAMILIES))
        return self._tools

    @property
    def kubeconfig(self) -> Path:
        """Of a user who may do everything; its address can be reached from inside the namespace only."""
        return self.layout.control_plane.kubeconfig("admin")

    @property
    def is_up(self) -> bool:
        """Whether it runs and answers."""
        return (
            NETWORK_NAMESPACE.exists()
            and self.kubeconfig.exists()
            and self.run("kubectl", "get", "--raw", "/readyz").returncode == 0
        )

    def up(self) -> None:
        """Start everything; returns when a pod can run. What an earlier one has left is removed first.

        Raises:
            ToolError: a program is missing and cannot be had.
            ClusterError: something did not start; nothing of it is left running.
        """
        tools = self.tools
        ensure_packages()
        with self._alone():
            self._down()
            try:
                self._up(tools)
            except BaseException:
                self._down()
                raise

    def down(self) -> None:
        """Stop everything; logs and unpacked images stay in the cache, nothing else anywhere."""
        with self._alone():
            self._down()

    def inside(self, *command: str) -> list[str]:
        """The command, run in the cluster's network: it reaches pods and Services by their addresses."""
        return [*ENTER, *command]

    def environment(self) -> dict[str, str]:
        """Of a user of this cluster: kubectl and helm on the path, KUBECONFIG set."""
        folders = [str(Path(self.tools[program]).parent) for program in ("kubectl", "helm")]
        path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def run(
        self, program: str, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm as admin; a failure is for the caller to see."""
        command = [*self.inside(self.tools[program]), f"--kubeconfig={self.kubeconfig}", *arguments]
        return captured(command, stdin, _KUBECTL_TIMEOUT_S)

    def load(self, archives: Iterable[Path]) -> list[Path]:
        """Bring images to the node; returns those that were not there yet."""
        return self.containers.import_images(archives)

    def _up(self, tools: Tools) -> None:
        at = self.layout
        daemons = Processes(at.processes, at.logs)
        write_plane_files(at.control_plane, NODE_USERS)
        write_files(at)
        make_namespace()
        make_control_groups()
        plane = at.control_plane
        daemons.start("containerd", self.inside(*programs.containerd(at)))
        daemons.start("etcd", self.inside(*commands.etcd(tools, plane)))
        node_flags = ("--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP")
        extra = (*node_flags, *commands.aggregation(plane))
        server = commands.api_server(tools, plane, audits=True, extra=extra)
        daemons.start("kube-apiserver", self.inside(*server))
        daemons.wait_until(self.containers.answers, "containerd", _START_TIMEOUT_S)
        self.load(base_archives(tools, default_cache()))
        daemons.wait_until(
            lambda: self._succeeds("get", "--raw", "/readyz"), "kube-apiserver", _START_TIMEOUT_S
        )
        for name, command in {
            "kube-controller-manager": commands.controller_manager(tools, plane),
            "kube-scheduler": commands.scheduler(tools, plane),
            "kubelet": programs.kubelet(tools, at),
            "kube-proxy": programs.kube_proxy(tools, at),
        }.items():
            daemons.start(name, self.inside(*command))
        daemons.wait_until(self._node_is_ready, "kubelet", _START_TIMEOUT_S)
        account = "kube-controller-manager"
        daemons.wait_until(lambda: self._succeeds(*_DEFAULT_ACCOUNT), account, _START_TIMEOUT_S)
        self.kubectl("apply", "-f", "-", stdin=coredns_manifests())
        self.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=60s")

    def _down(self) -> None:
        at = self.layout
        daemons = Processes(at.processes, at.logs)
        names = daemons.names()
        # Those first that would start again what is stopped; containerd last, for it removes the containers.
        daemons.stop(name for name in names if name.startswith("kube"))
        answers = self.containers.answers()
        if answers:
            self.containers.remove_containers()
        end_containers()
        leavings.end_shims(at)
        daemons.stop(name for name in names if not name.startswith("kube"))
        leavings.remove_shim_sockets(at)
        leavings.unmount_all(at)
        leavings.remove_outside_files(at)
        remove_control_groups()
        remove_namespace()
        _remove_all_but(at.folder, "ctd", "log", "lock", "reserved")
        # A containerd that has crashed still has its containers on its books: those go, images and all.
        is_in_order = answers or "containerd" not in names
        _remove_all_but(at.containerd, *(("root", "imported") if is_in_order else ()))

    def _succeeds(self, *arguments: str) -> bool:
        return self.run("kubectl", *arguments).returncode == 0

    def _node_is_ready(self) -> bool:
        done = self.run(
            "kubectl", "get", "node", NODE, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        )
        return done.stdout == "True"

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Use it alone; waits while another run does."""
        with _file_to_lock(self.layout.folder / "reserved") as handle:
            if not _try_lock(handle):
                print("waiting for another run on this machine's cluster ...", file=sys.stderr, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else starts or stops the node meanwhile."""
        with _file_to_lock(self.layout.folder / "lock") as handle:
            if not _try_lock(handle):
                raise ClusterError("the cluster is being started or stopped by another process")
            yield


@contextmanager
def _file_to_lock(file: Path) -> Iterator[IO[str]]:
    """A file to lock, for a while."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        yield handle


def _try_lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_all_but(folder: Path, *names: str) -> None:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.name not in names:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
