"""The scenarios' Git server, asked by Git itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.ports import LOOPBACK, free_ports


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """URL of a repository with one commit of one file."""
    bare, work = tmp_path / "served" / "fleet.git", tmp_path / "work"
    _git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    _git(tmp_path, "clone", "--quiet", str(bare), str(work))
    (work / "pool.yaml").write_text("kind: LLMServingPool\n" * 5000)
    _git(work, "add", "--all")
    _git(work, "commit", "--quiet", "--message", "a pool")
    _git(work, "push", "--quiet", "origin", "HEAD:main")
    [port] = free_ports(1)
    command = [sys.executable, "-m", "bed.git_server", LOOPBACK, str(port), str(bare.parent)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{LOOPBACK}:{port}/fleet.git"
    finally:
        server.kill()
        server.wait()


def test_a_repository_can_be_cloned(served: str, tmp_path: Path) -> None:
    for _ in range(100):
        if not subprocess.run(["git", "ls-remote", served], capture_output=True, check=False).returncode:
            break
        time.sleep(0.1)
    _git(tmp_path, "clone", "--quiet", served, "clone")
    assert (tmp_path / "clone" / "pool.yaml").read_text().count("LLMServingPool") == 5000


def _git(folder: Path, *arguments: str) -> None:
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *arguments], cwd=folder, env=os.environ | names, check=True)
