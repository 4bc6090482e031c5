"""The network namespace: an address for the node and a route that leads nowhere."""

from __future__ import annotations

import subprocess

from cluster.debian import find
from cluster.errors import ClusterError
from cluster.node.layout import NAME, NETWORK_NAMESPACE, NODE_ADDRESS, NODE_GATEWAY

ENTER = (find("nsenter") or "nsenter", f"--net={NETWORK_NAMESPACE}")
"""Before a command. Not `ip netns exec`: that mounts a fresh /sys, in which there are no control groups."""


def make_namespace() -> None:
    """Make it, with forwarding, so that pods reach one another.

    Raises:
        ClusterError: this is not for us to do.
    """
    _run("ip", "netns", "add", NAME)
    _run(*ENTER, "ip", "link", "set", "lo", "up")
    # A pair of ends, since not every kernel has dummy devices: kubelet and kube-proxy want an address that is
    # not loopback, and packets to Services want a route.
    _run(*ENTER, "ip", "link", "add", "node0", "type", "veth", "peer", "name", "node0peer")
    for end in ("node0", "node0peer"):
        _run(*ENTER, "ip", "link", "set", end, "up")
    _run(*ENTER, "ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", "node0")
    _run(*ENTER, "ip", "route", "add", "default", "via", NODE_GATEWAY, "dev", "node0")
    _run(*ENTER, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")


def remove_namespace() -> None:
    """Remove it with all its links and rules; nothing happens where there is none."""
    if NETWORK_NAMESPACE.exists():
        _run("ip", "netns", "delete", NAME)


def _run(*command: str) -> None:
    program = find(command[0]) or command[0]
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
