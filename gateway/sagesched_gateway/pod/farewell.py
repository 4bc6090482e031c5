"""A pod's end, seen from its preStop hook.

A native sidecar gets SIGTERM only after the other containers have ended, too late to drain. So the hook
(`sagesched-gateway drain`) asks the running gateway by SIGUSR1: readiness goes at once, and requests that
still come are taken until new connections lead elsewhere and those of old have aged and gone (to other
replicas, for the Service sends them there). Clients that are left then are told to go, and what is here is
finished.
A file says that it is done, for the hook and for Triton's own, which waits for it before Triton ends.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_LOOK_EACH_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Farewell:
    """How to say good-bye.

    Attributes:
        drained_file: made when everything is finished; None for not.
        settle_s: how long requests are still taken after readiness has gone, at least.
        parting_s: longest wait after that until no client is connected any more. gRPC's own way of going
            (stopping its server) ends requests under way to it as CANCELLED; a connection that ends by
            age loses none. So this is the age that connections reach (`listen.connectionAgeSeconds`), or 0
            for no wait.
    """

    drained_file: Path | None = None
    settle_s: float = 0.0
    parting_s: float = 0.0

    def forget(self) -> None:
        """A gateway that starts has not drained, whatever one before it left behind."""
        if self.drained_file is not None:
            self.drained_file.unlink(missing_ok=True)

    def tell(self) -> None:
        """Everything is finished."""
        if self.drained_file is not None:
            self.drained_file.touch()


class DrainError(Exception):
    """The gateway could not be asked, or did not finish; the message says which."""


def drain_and_wait(pid: int, drained_file: Path, timeout_s: float) -> None:
    """Ask a gateway to drain, and wait until it has.

    Args:
        pid: of the gateway; 1 in its container.
        drained_file: that the gateway was given.
        timeout_s: longest wait.

    Raises:
        DrainError: there is no such process, or it has not finished in time.
    """
    ends_at = time.monotonic() + timeout_s
    _ask(pid)
    while not drained_file.exists():
        # Again and again: the first process of a container gets no signal before it is ready for it.
        if not _ask(pid):
            raise DrainError(f"no process {pid}: the gateway is not there any more")
        if time.monotonic() > ends_at:
            raise DrainError(f"the gateway has not finished within {timeout_s:g} s")
        time.sleep(_LOOK_EACH_S)


def _ask(pid: int) -> bool:
    """Ask to drain; False where nobody is there."""
    try:
        os.kill(pid, signal.SIGUSR1)
    except ProcessLookupError:
        return False
    return True
