"""A process of the cluster: started with a log file, watched while it gets ready, ended with its group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.errors import StartError
from cluster.starting import start, wait_until

STOP_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1

_DIE_WITH_PARENT = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGKILL)})
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A killed test run must not leave a control plane behind. Said by a program that becomes the daemon, since
threads of other libraries (JAX) object to a fork in which Python runs."""


class Daemon:
    """One program that runs until it is stopped."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        """Prepare; nothing runs yet.

        Args:
            name: for messages.
            command: program and arguments.
            log: where its output goes, appended over restarts.
        """
        self.name = name
        self._command = list(command)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id.

        Raises:
            StartError: it is not running.
        """
        if self._process is None:
            raise StartError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the process; it may not be ready yet."""
        self._process = start([sys.executable, "-ISc", _DIE_WITH_PARENT, *self._command], self._log)

    def wait_until(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Poll until `is_ready`.

        Raises:
            StartError: the process ended or the time is over.
        """
        wait_until(is_ready, lambda: self._running() is not None, self.name, self._log, timeout_s)

    def stop(self) -> None:
        """End it and wait; one that takes too long is killed. Nothing happens where it does not run."""
        process = self._running()
        if process is None:
            return
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        process = self._running()
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes] | None:
        return self._process if self._process is not None and self._process.poll() is None else None
