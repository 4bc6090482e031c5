"""Command lines of the node's own daemons, with the reason of every unusual flag."""

from __future__ import annotations

from cluster.debian import find
from cluster.node.layout import NODE, NODE_ADDRESS, POD_RANGE, NodeLayout
from cluster.tools import Tools


def containerd(at: NodeLayout) -> list[str]:
    """Debian's containerd."""
    return [find("containerd") or "containerd", f"--config={at.folder / 'containerd.toml'}"]


def kubelet(tools: Tools, at: NodeLayout) -> list[str]:
    """Kubelet, all of whose files are below our folder as far as it lets itself be told."""
    return [
        tools["kubelet"],
        f"--kubeconfig={at.control_plane.kubeconfig('kubelet')}",
        f"--config={at.folder / 'kubelet.yaml'}",
        f"--root-dir={at.kubelet}",
        f"--cert-dir={at.kubelet / 'pki'}",
        f"--hostname-override={NODE}",
        f"--node-ip={NODE_ADDRESS}",
    ]


def kube_proxy(tools: Tools, at: NodeLayout) -> list[str]:
    """Kube-proxy, which may not write the kernel's settings here."""
    return [
        tools["kube-proxy"],
        f"--kubeconfig={at.control_plane.kubeconfig('kube-proxy')}",
        f"--hostname-override={NODE}",
        "--proxy-mode=nftables",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
        f"--cluster-cidr={POD_RANGE}",
    ]
