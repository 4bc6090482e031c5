"""Daemons that outlive who started them are found again, and nobody else's process is taken for one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.errors import StartError
from cluster.node.processes import Processes

_SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def daemons(tmp_path: Path) -> Processes:
    return Processes(tmp_path / "processes", tmp_path / "log")


def test_what_another_command_started_is_stopped(tmp_path: Path) -> None:
    starts = (
        "import sys; from pathlib import Path; from cluster.node.processes import Processes\n"
        f"Processes(Path({str(tmp_path / 'processes')!r}), Path({str(tmp_path / 'log')!r}))"
        f".start('sleeper', {_SLEEPS!r})"
    )
    subprocess.run([sys.executable, "-c", starts], check=True)
    daemons = Processes(tmp_path / "processes", tmp_path / "log")
    assert daemons.names() == ["sleeper"]
    assert daemons.lives("sleeper")
    pid = int((tmp_path / "processes" / "sleeper").read_text().split()[0])
    daemons.stop(["sleeper"])
    assert not daemons.names()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # gone altogether
        assert " Z " in Path(f"/proc/{pid}/stat").read_text()


def test_a_number_that_went_to_another_process_is_left_alone(daemons: Processes, tmp_path: Path) -> None:
    (tmp_path / "processes" / "old").write_text(f"{os.getpid()} 1")
    assert not daemons.lives("old")
    daemons.stop(["old"])  # and here we are
    assert not daemons.names()


def test_one_that_ends_while_it_is_waited_for_is_told_with_its_log(daemons: Processes) -> None:
    daemons.start("broken", [sys.executable, "-c", "raise SystemExit('no such flag')"])
    began = time.monotonic()
    with pytest.raises(StartError, match="no such flag"):
        daemons.wait_until(lambda: False, "broken", 30.0)
    assert time.monotonic() - began < 20.0
