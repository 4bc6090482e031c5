"""Programs that come from Debian: installed where this runs as root on Debian or Ubuntu, else named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping

from cluster.errors import ToolError

_INSTALL_TIMEOUT_S = 600
_PATHS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Programs of administrators; not on everybody's PATH."""


def find(program: str) -> str | None:
    """Path of a program, also where only root looks."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_PATHS}")


def ensure_programs(packages: Mapping[str, str]) -> None:
    """Install what is missing.

    Args:
        packages: program → package.

    Raises:
        ToolError: it is not for us to install, or it failed; the message says what is to be installed.
    """
    install({package for program, package in packages.items() if find(program) is None})
    missing = sorted({package for program, package in packages.items() if find(program) is None})
    if missing:
        raise ToolError(f"still missing after apt-get: {' '.join(missing)}")


def install(packages: Iterable[str]) -> None:
    """`apt-get install`, where this is root's; nothing where there is nothing to install.

    Raises:
        ToolError: it is not for us to install, or it failed; the message says what is to be installed.
    """
    missing = sorted(packages)
    if not missing:
        return
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        raise ToolError(f"missing on this machine; as root: apt-get install {' '.join(missing)}")
    print(f"installing {' '.join(missing)} ...", file=sys.stderr, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(
            [apt, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
        if done.returncode and arguments[0] == "install":
            raise ToolError(f"apt-get install {' '.join(missing)} failed: {done.stderr.strip()[-400:]}")
