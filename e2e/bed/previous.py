"""The release before this one, as a checkout: the latest tag, or where there is none an earlier version."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from cluster.errors import ClusterError
from cluster.tools import default_cache

_ROOT = Path(__file__).parents[2]
_BEFORE_ANY_RELEASE = "fd92ee6"
"""The first one whose scenarios of level 1 were a part of continuous integration."""


def previous_release() -> Path:
    """Folder of its sources, in the cache.

    Raises:
        ClusterError: this is no checkout with a history.
    """
    tags = _git("tag", "--list", "v*", "--sort=-version:refname", "--merged", "HEAD^").split()
    commit = _git("rev-parse", "--short=12", f"{next(iter(tags), _BEFORE_ANY_RELEASE)}^{{commit}}")
    folder = default_cache() / "releases" / commit
    if not folder.exists():
        archive = subprocess.run(
            ["git", "-C", str(_ROOT), "archive", "--format=tar", commit], capture_output=True, check=True
        )
        unfinished = folder.with_suffix(".unfinished")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(unfinished, filter="data")
        unfinished.rename(folder)
    return folder


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()
