"""A pod's preStop hook, with a small program in the gateway's place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sagesched_gateway.pod.farewell import DrainError, drain_and_wait

# As the first process of a container: what comes before it listens is lost.
GATEWAY = """
import pathlib, signal, sys, time
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print(flush=True)
time.sleep(0.5)
signal.signal(signal.SIGUSR1, lambda *_: pathlib.Path(sys.argv[1]).touch())
time.sleep(60)
"""


def test_a_gateway_that_has_hardly_started_is_asked_again(tmp_path):
    drained = tmp_path / "drained"
    command = [sys.executable, "-c", GATEWAY, str(drained)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout is not None
        gateway.stdout.readline()
        try:
            drain_and_wait(gateway.pid, drained, timeout_s=10.0)
        finally:
            gateway.kill()


def test_a_gateway_that_is_not_there_is_not_waited_for(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    with pytest.raises(DrainError, match="not there any more"):
        drain_and_wait(gone.pid, tmp_path / "drained", timeout_s=10.0)
