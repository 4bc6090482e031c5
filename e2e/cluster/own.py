"""`OwnCluster`: one of the user's, named by a context of their kubeconfig."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

from cluster.errors import ClusterError
from cluster.kubectl import Cluster, captured

_TIMEOUT_S = 300
_CONNECT_TIMEOUT_S = 5.0
_CONTEXT_FLAGS = {"kubectl": "--context", "helm": "--kube-context"}


class OwnCluster(Cluster):
    """It is used as it is: nothing is started, and no image is brought to it."""

    def __init__(self, context: str) -> None:
        """Take the context's name."""
        self._context = context

    def check(self) -> None:
        """Make sure that all that scenarios need is there.

        Raises:
            ClusterError: a program is missing, or Services cannot be reached from here.
        """
        for program in _CONTEXT_FLAGS:
            if shutil.which(program) is None:
                raise ClusterError(f"{program} is not on PATH")
        service = self.get("service", "kubernetes", "-n", "default")["spec"]
        address, port = service["clusterIP"], service["ports"][0]["port"]
        try:
            socket.create_connection((address, port), _CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise ClusterError(
                f"clients must reach the cluster's Services, and {address}:{port} is not reached from here "
                f"({error}): run this on one of its nodes, or in a network that leads to them"
            ) from error

    def run(
        self, program: str, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm in the context; a failure is for the caller to see."""
        command = [program, f"{_CONTEXT_FLAGS[program]}={self._context}", *arguments]
        return captured(command, stdin, _TIMEOUT_S)

    def inside(self, *command: str) -> list[str]:
        """The command as it is: this machine is in that network."""
        return list(command)

    def environment(self) -> dict[str, str]:
        """Ours."""
        return dict(os.environ)
