"""The release before this one, as a checkout: the latest tag, or the first commit with images."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from cluster.errors import ClusterError
from cluster.tools import default_cache

_ROOT = Path(__file__).parents[2]


def previous_release() -> Path:
    """Folder of its sources, in the cache.

    Raises:
        ClusterError: this is no checkout with a history.
    """
    commit = _git("tag", "--list", "v*", "--sort=-version:refname", "--merged", "HEAD^").split("\n")[0]
    if not commit:
        adding = _git("log", "--diff-filter=A", "--format=%H", "--", "images/operator/Dockerfile")
        commit = adding.splitlines()[-1] if adding else ""
    if not commit:
        raise ClusterError("there is no earlier version with images in this checkout's history")
    folder = default_cache() / "releases" / _git("rev-parse", "--short=12", f"{commit}^{{commit}}")
    if not folder.exists():
        done = subprocess.run(
            ["git", "-C", str(_ROOT), "archive", "--format=tar", commit], capture_output=True, check=True
        )
        unfinished = folder.with_suffix(".unfinished")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            tar.extractall(unfinished, filter="data")
        unfinished.rename(folder)
    return folder


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()
