"""Where a cluster's programs are: given by the user, on PATH in the right version, or built into the cache.

python -m cluster.tools          build what is missing and print where each program is
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ToolError
from cluster.families import FAMILIES, Family
from cluster.go_toolchain import ensure_go

GIVEN_VARIABLE = "KUBEBUILDER_ASSETS"
"""A folder whose programs are taken as they are, whatever their version."""

BUILD_TIMEOUT_S = 3600
UNFINISHED = "unfinished-"


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs, by name.

    Attributes:
        paths: name → file.
    """

    paths: Mapping[str, Path]

    def __getitem__(self, program: str) -> str:
        """Path of a program, for a command line."""
        return str(self.paths[program])


def ensure_tools(cache: Path | None = None, families: Iterable[Family] = FAMILIES) -> Tools:
    """All programs, built first where need be; safe when several processes ask at once.

    Args:
        cache: folder to keep them in; None takes $SAGESCHED_CACHE or ~/.cache/sagesched.
        families: which ones; a control plane's by default.

    Raises:
        ToolError: something could not be built; the message holds the compiler's last lines.
    """
    cache = cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    for family in families:
        paths |= _given(family)
        missing = set(family.programs) - set(paths)
        if missing:
            paths |= _from_cache(family, cache) | {
                name: paths[name] for name in family.programs if name in paths
            }
    return Tools(paths)


def default_cache() -> Path:
    """$SAGESCHED_CACHE, or ~/.cache/sagesched."""
    configured = os.environ.get("SAGESCHED_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "sagesched"


def _given(family: Family) -> dict[str, Path]:
    """What the machine already has: anything in the given folder, and on PATH the very version we pin."""
    folder = os.environ.get(GIVEN_VARIABLE)
    found: dict[str, Path] = {}
    for program in family.programs:
        if folder and (Path(folder) / program).exists():
            found[program] = Path(folder) / program
        elif (on_path := shutil.which(program)) and _prints_version(Path(on_path), program, family):
            found[program] = Path(on_path)
    return found


def _prints_version(path: Path, program: str, family: Family) -> bool:
    if program not in family.version_arguments:
        return False
    try:
        done = subprocess.run(
            [path, *family.version_arguments[program]],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    pinned = rf"(?<![\d.]){re.escape(family.version)}(?![\w.-])"
    return done.returncode == 0 and re.search(pinned, done.stdout) is not None


def _from_cache(family: Family, cache: Path) -> dict[str, Path]:
    folder = cache / family.key
    if not folder.is_dir():
        with _lock(cache / f"{family.key}.lock"):
            if not folder.is_dir():
                _build(family, folder)
    return {program: folder / program for program in family.programs}


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a file lock; it goes with the process, so a killed one leaves nothing behind but an empty file."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(family: Family, folder: Path) -> None:
    """Build into a folder beside the final one and rename it when complete."""
    go = ensure_go(folder.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        for number, (program, package) in enumerate(family.programs.items(), start=1):
            _say(
                f"building {program} {family.version} ({number} of {len(family.programs)}; minutes when cold)"
            )
            started = time.monotonic()
            _go_build(go, family, package, unfinished / program)
            _say(f"built {program} in {time.monotonic() - started:.0f} s")
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _go_build(go: Path, family: Family, package: str, target: Path) -> None:
    command = [str(go), "build", "-trimpath", "-ldflags", family.link_flags(), "-o", str(target), package]
    environment = os.environ | {"CGO_ENABLED": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=family.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"building {package} took more than {BUILD_TIMEOUT_S} s; try again") from error
    if done.returncode:
        raise ToolError(
            f"{package} could not be built; put a ready one into a folder and name it in {GIVEN_VARIABLE}. "
            f"Go said: {done.stderr.strip()[-800:]}"
        )


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
