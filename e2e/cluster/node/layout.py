"""Names, addresses and files of the node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.commands import Layout
from cluster.credentials import USERS
from cluster.errors import ClusterError
from cluster.tools import default_cache

NAME = "sagesched-e2e"
"""Of network namespace, control groups and the pods' network: one such node at a time on a machine."""

NODE = "node1"
NODE_ADDRESS = "172.30.0.1"
NODE_GATEWAY = "172.30.0.254"
POD_RANGE = "10.244.0.0/16"
NODE_POD_RANGE = "10.244.0.0/24"
DNS_ADDRESS = "10.96.0.10"
PAUSE_IMAGE = "localhost/pause:1"

NETWORK_NAMESPACE = Path("/run/netns") / NAME
CONTROL_GROUPS = Path("/sys/fs/cgroup")

NODE_USERS = USERS | {
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", "system:node-proxier"),
}

_LONGEST_FOLDER = 60
"""Paths of Unix sockets below it may not exceed 107 characters."""


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """Where the node keeps its files.

    Attributes:
        folder: all of it. What containerd has unpacked stays there between clusters, the rest does not.
    """

    folder: Path

    @property
    def control_plane(self) -> Layout:
        """The API server's and etcd's part; the ports are free, for the namespace is new."""
        return Layout(self.folder, 6443, 2379, 2380, NODE_ADDRESS)

    @property
    def containerd(self) -> Path:
        """Of containerd."""
        return self.folder / "ctd"

    @property
    def socket(self) -> Path:
        """Of containerd."""
        return self.containerd / "containerd.sock"

    @property
    def images(self) -> Path:
        """Unpacked images; kept."""
        return self.containerd / "root"

    @property
    def processes(self) -> Path:
        """A file per daemon with its process id."""
        return self.folder / "processes"

    @property
    def logs(self) -> Path:
        """Of daemons and pods; kept until the next cluster."""
        return self.folder / "log"

    @property
    def pod_logs(self) -> Path:
        """As kubelet lays them out."""
        return self.logs / "pods"

    @property
    def kubelet(self) -> Path:
        """Kubelet's root."""
        return self.folder / "kubelet"

    @property
    def made_by_a_run(self) -> Path:
        """There while the cluster is for a test run only, which will remove it."""
        return self.folder / "made-by-a-run"

    @property
    def network(self) -> Path:
        """Configuration and leases of the pods' network."""
        return self.folder / "cni"


def default_layout() -> NodeLayout:
    """In the cache, outside any checkout.

    Raises:
        ClusterError: the cache's path is too long.
    """
    folder = default_cache() / "node"
    if len(str(folder)) > _LONGEST_FOLDER:
        raise ClusterError(f"{folder} is too long for Unix sockets: set SAGESCHED_CACHE to a shorter path")
    return NodeLayout(folder)
