"""How a daemon is started and waited for, whoever keeps it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.errors import StartError

POLL_S = 0.05
_LOG_TAIL_CHARACTERS = 1500


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output appended to a file; it may not be ready yet."""
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(
    is_ready: Callable[[], bool], lives: Callable[[], bool], name: str, log: Path, timeout_s: float
) -> None:
    """Poll until `is_ready`.

    Args:
        is_ready: asked again and again.
        lives: whether the daemon that is waited for still runs.
        name: of it, for messages.
        log: its output.
        timeout_s: longest wait.

    Raises:
        StartError: the daemon ended, or the time is over; with the end of its log.
    """
    ends_at = time.monotonic() + timeout_s
    while not is_ready():
        if not lives():
            raise StartError(f"{name} has ended:\n{_tail(log)}")
        if time.monotonic() > ends_at:
            raise StartError(f"{name} was not ready within {timeout_s:.0f} s:\n{_tail(log)}")
        time.sleep(POLL_S)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:] if log.exists() else "(no log)"
