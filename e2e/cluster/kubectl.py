"""`Kubectl` and `Cluster`: what can be done with any cluster, wherever it runs."""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from cluster.errors import ClusterError


def captured(command: Sequence[str], stdin: str | None, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is; what it printed is text."""
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
    )


class Kubectl(ABC):
    """A cluster that kubectl and helm reach."""

    @abstractmethod
    def run(
        self, program: str, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm as admin; a failure is for the caller to see."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as admin; returns what it prints.

        Args:
            arguments: as on a command line.
            stdin: text for `-f -`.

        Raises:
            ClusterError: kubectl failed; the message is what it printed.
        """
        done = self.run("kubectl", *arguments, stdin=stdin)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get ... -o json`, parsed."""
        document: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return document


class Cluster(Kubectl):
    """One whose pods and Services can be reached by their addresses."""

    @abstractmethod
    def inside(self, *command: str) -> list[str]:
        """The command, run in the cluster's network."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Of a user of this cluster: kubectl and helm on the path, and they find it."""
