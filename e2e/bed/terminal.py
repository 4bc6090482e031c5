"""`Terminal`: documented commands run as their reader runs them, in the cluster's network."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bed.documented import ROOT
from cluster.errors import ClusterError
from cluster.kubectl import Cluster

_TIMEOUT_S = 300
_BACKGROUND = "&"
_BACKGROUND_TIMEOUT_S = 60.0


class Terminal:
    """What was started with `&` runs until the `with` ends."""

    def __init__(
        self, cluster: Cluster, folder: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> None:
        """Open it.

        Args:
            cluster: kubectl and helm are on the path and find it.
            folder: where commands run.
            environment: variables besides.
        """
        self._cluster = cluster
        self._folder = folder
        self._environment = {**cluster.environment(), **(environment or {})}
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        return self

    def run(self, command: str) -> str:
        """Run a command; returns what it prints, of one in the background the first of it.

        Raises:
            ClusterError: it failed, or one in the background printed nothing within a minute.
        """
        if command.endswith(_BACKGROUND):
            return self._start(command.removesuffix(_BACKGROUND).strip())
        done = subprocess.run(
            self._shell(command),
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"$ {command}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def _start(self, command: str) -> str:
        process = subprocess.Popen(
            self._shell(f"exec {command}"),
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._started.append(process)
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], _BACKGROUND_TIMEOUT_S)
        time.sleep(0.2)
        printed = os.read(process.stdout.fileno(), 65536).decode() if readable else ""
        if not printed or process.poll():
            raise ClusterError(f"$ {command} &\n{printed}")
        return printed

    def _shell(self, command: str) -> list[str]:
        return self._cluster.inside("bash", "-o", "pipefail", "-c", command)

    def __exit__(self, *_: object) -> None:
        """End what runs in the background, and what that has started."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()
