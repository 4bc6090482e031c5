"""What the node takes from Debian: container runtime, network plugins, tools."""

from __future__ import annotations

from pathlib import Path

from cluster.debian import ensure_programs, install

PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "conntrack": "conntrack",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "iptables": "iptables",
    "busybox": "busybox-static",
}
"""Program → package."""

_PLUGINS = Path("/usr/lib/cni/bridge")


def ensure_packages() -> None:
    """Install what is missing; containerd's own service is not used.

    Raises:
        ToolError: it is not for us to install, or it failed; the message says what is to be installed.
    """
    ensure_programs(PROGRAMS)
    if not _PLUGINS.exists():
        install(["containernetworking-plugins"])
