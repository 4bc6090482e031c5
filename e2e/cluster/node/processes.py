"""Daemons that outlive the command that started them, known by a file with process id and start time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cluster.starting import POLL_S, start, wait_until

_STOP_TIMEOUT_S = 8.0
_STARTED_FIELD = 19
"""Of /proc/PID/stat, counted after the name: when the process started, in ticks since boot."""


class Processes:
    """The daemons of one node."""

    def __init__(self, folder: Path, logs: Path) -> None:
        """Take the folders for ids and for logs; both are made."""
        self._folder = folder
        self._logs = logs
        for each in (folder, logs):
            each.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a daemon in a session of its own; it may not be ready yet."""
        process = start(command, self._log(name))
        (self._folder / name).write_text(f"{process.pid} {_started(process.pid)}")
        # Not waited for: it shall outlive us, and what is to be known of it stands in /proc.
        process.returncode = 0

    def wait_until(self, is_ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Poll until `is_ready`.

        Args:
            is_ready: asked again and again.
            what: name of the daemon that is waited for.
            timeout_s: longest wait.

        Raises:
            StartError: the daemon ended, or the time is over; with the end of its log.
        """
        wait_until(is_ready, lambda: self.lives(what), what, self._log(what), timeout_s)

    def lives(self, name: str) -> bool:
        """Whether the daemon runs."""
        return self._pid(name) is not None

    def names(self) -> list[str]:
        """All that were started and not stopped."""
        return sorted(file.name for file in self._folder.iterdir())

    def stop(self, names: Iterable[str]) -> None:
        """End daemons, all at once, by force where they take too long."""
        names = list(names)
        pids = {name: pid for name in names if (pid := self._pid(name)) is not None}
        for pid in pids.values():
            send(pid, signal.SIGTERM)
        ends_at = time.monotonic() + _STOP_TIMEOUT_S
        while any(map(self.lives, pids)) and time.monotonic() < ends_at:
            time.sleep(POLL_S)
        for name, pid in pids.items():
            if self.lives(name):
                send(pid, signal.SIGKILL)
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _pid(self, name: str) -> int | None:
        """Id of a daemon that runs; a process that only has its number is another's."""
        try:
            pid, started = map(int, (self._folder / name).read_text().split())
        except (OSError, ValueError):
            return None
        return pid if _started(pid) == started else None

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process that may just have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _started(pid: int) -> int:
    """When a process started; -1 where there is none, or only a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in "ZX" else int(fields[_STARTED_FIELD])
