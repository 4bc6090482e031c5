"""`GitRepository`: what a team has in Git, served to the cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from cluster.errors import ClusterError
from cluster.node.layout import NODE_ADDRESS
from cluster.node.single_node import SingleNode

_PORT = 8090
_START_TIMEOUT_S = 20.0
_USER = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Platform"), ("EMAIL", "platform@example.com"))
}


class GitRepository:
    """One repository with a working folder, at `url` for pods as long as a `with` lasts.

    Attributes:
        folder: the working folder, branch main.
        url: as pods reach it.
    """

    def __init__(self, cluster: SingleNode, name: str) -> None:
        """Take the name; nothing is made yet."""
        self._cluster = cluster
        self._name = name
        self.url = f"http://{NODE_ADDRESS}:{_PORT}/{name}.git"

    def __enter__(self) -> Self:
        """Make it and serve it.

        Raises:
            ClusterError: Git or the server fail.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="sagesched-git-")
        root = Path(self._temporary.name)
        self.folder = root / "work"
        bare = root / "served" / f"{self._name}.git"
        bare.parent.mkdir()
        self.folder.mkdir()
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("remote", "add", "origin", str(bare))
        command = [sys.executable, "-m", "bed.git_server", NODE_ADDRESS, str(_PORT), str(bare.parent)]
        self._server = subprocess.Popen(
            self._cluster.inside(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ends_at = time.monotonic() + _START_TIMEOUT_S
        check = self._cluster.inside("bash", "-c", f"exec 3<>/dev/tcp/{NODE_ADDRESS}/{_PORT}")
        while subprocess.run(check, capture_output=True, check=False).returncode:
            if time.monotonic() > ends_at:
                raise ClusterError("the Git server does not listen")
            time.sleep(0.1)
        return self

    def write(self, file: str, *documents: Mapping[str, Any]) -> None:
        """Put manifests into a file of the folder, in place of what it held."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump_all(documents))

    def commit(self, subject: str) -> str:
        """`git commit` of all that the folder holds, pushed; returns the commit's id."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", subject)
        return self._push()

    def revert(self) -> str:
        """`git revert` of the latest commit, pushed; returns the new commit's id."""
        self._git("revert", "--no-edit", "HEAD")
        return self._push()

    def _push(self) -> str:
        self._git("push", "--quiet", "origin", "main")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=os.environ | _USER,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def __exit__(self, *_: object) -> None:
        """Away with it."""
        self._server.kill()
        self._server.wait()
        self._temporary.cleanup()
