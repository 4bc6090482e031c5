"""Programs that come from Debian: installed where this runs as root on Debian or Ubuntu, else named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cluster.errors import ToolError

_PLUGINS = Path("/usr/lib/cni")

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

_PLUGIN_PACKAGE = "containernetworking-plugins"
_INSTALL_TIMEOUT_S = 600
_PATHS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Programs of administrators; not on everybody's PATH."""


def find(program: str) -> str | None:
    """Path of a program, also where only root looks."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_PATHS}")


def missing_packages() -> list[str]:
    """What has to be installed, in order."""
    missing = {package for program, package in PROGRAMS.items() if find(program) is None}
    if not (_PLUGINS / "bridge").exists():
        missing.add(_PLUGIN_PACKAGE)
    return sorted(missing)


def ensure_packages() -> None:
    """Install what is missing.

    Raises:
        ToolError: it is not for us to install, or it failed; the message says what is to be installed.
    """
    missing = missing_packages()
    if not missing:
        return
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        raise ToolError(f"missing on this machine; as root: apt-get install {' '.join(missing)}")
    print(f"installing {' '.join(missing)} ...", file=sys.stderr, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = None
    # containerd's own service stays out of the way: the node starts its own daemon.
    for arguments in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(
            [apt, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    if (done is not None and done.returncode) or missing_packages():
        raise ToolError(
            f"apt-get install {' '.join(missing)} failed: {done.stderr.strip()[-400:] if done else ''}"
        )
