"""`make` itself: with a Python that will not do, after one, and with paths as people have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bed.documented import ROOT

PRETENDER = """#!/bin/sh
# A Python of version {version}: it makes environments that hold nothing but another such Python.
case "$1" in
  -V) echo "Python {version}" ;;
  -c) exec {python} -c "import sys; sys.version_info = tuple(map(int, '{version}'.split('.'))); $2" ;;
  -m) test "$2" = venv && mkdir -p "$3/bin" && {{ test -e "$3/bin/python" || cp "$0" "$3/bin/python"; }} ;;
esac
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    return tmp_path


def make(tree: Path, version: str) -> subprocess.CompletedProcess[str]:
    python = tree / f"python{version}"
    python.write_text(PRETENDER.format(version=version, python=sys.executable))
    python.chmod(0o755)
    command = ["make", ".venv/installed", f"PYTHON={python}"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", ["3.10.9", "3.13.0"])
def test_another_python_is_refused_before_anything_is_made(tree: Path, version: str) -> None:
    done = make(tree, version)
    assert done.returncode != 0
    assert "Triton needs Python 3.11 or 3.12" in done.stderr
    assert not (tree / ".venv").exists()


def test_an_environment_of_another_python_is_made_anew(tree: Path) -> None:
    for version in ("3.11.7", "3.12.1"):
        assert make(tree, version).returncode != 0  # there is nothing to install
        assert f"Python {version}" in (tree / ".venv/bin/python").read_text()


@pytest.mark.parametrize("name", ["traffic.jsonl", "last week's $traffic.jsonl", "~/traffic.jsonl"])
def test_a_dataset_may_have_any_path(tree: Path, name: str) -> None:
    demo = tree / ".venv/bin/sagesched-emulator"
    demo.parent.mkdir(parents=True)
    demo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    demo.chmod(0o755)
    (tree / ".venv/installed").touch()
    command = ["make", "--no-print-directory", "demo", f"DATASET={name.replace('$', '$$')}"]
    told = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told[-2:] == ["--dataset", str(Path(name).expanduser())]
