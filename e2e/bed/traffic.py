"""`Traffic`: clients in a process of their own, in the cluster's network, for as long as a `with` lasts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from bed.load import Account, Load
from cluster.errors import ClusterError
from cluster.kubectl import Cluster

_END_TIMEOUT_S = 330.0


class Traffic:
    """Sends from `__enter__` on; `end` waits until everything open has ended and returns the account."""

    def __init__(self, cluster: Cluster, load: Load) -> None:
        """Prepare; nothing is sent yet."""
        self._cluster = cluster
        self._load = load

    def __enter__(self) -> Self:
        """Start the clients."""
        self._folder = tempfile.TemporaryDirectory(prefix="sagesched-traffic-")
        folder = Path(self._folder.name)
        self._load.write(folder / "load.json")
        self._account = folder / "account.json"
        self._log = (folder / "log").open("w+")
        command = [sys.executable, "-m", "bed.clients", str(folder / "load.json"), str(self._account)]
        self._process = subprocess.Popen(
            self._cluster.inside(*command), stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT
        )
        return self

    def end(self) -> Account:
        """Send nothing more, wait for what is open.

        Raises:
            ClusterError: the clients' process failed; with the end of its output.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.wait(_END_TIMEOUT_S)

    def wait(self, timeout_s: float) -> Account:
        """Wait until a trace has ended.

        Raises:
            ClusterError: as `end`.
        """
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            self._log.seek(0)
            raise ClusterError(f"clients ended with {code}:\n{self._log.read()[-2000:]}")
        return Account.read(self._account)

    def run_for(self, seconds: float) -> Account:
        """Let it run for a while, then `end`."""
        time.sleep(seconds)
        return self.end()

    def __exit__(self, *_: object) -> None:
        """End the process, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._log.close()
        self._folder.cleanup()
