"""The real operator as a process, with the command line and the service account that the chart gives it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from cluster.control_plane import ControlPlane
from cluster.ports import LOOPBACK, free_ports

START_S = 30.0


class OperatorProcess:
    """Runs for as long as a `with` lasts."""

    def __init__(self, cluster: ControlPlane, namespace: str, log: Path) -> None:
        """Prepare: everything is read from the Deployment of release `sagesched`."""
        deployment = cluster.get("deployment", "sagesched", "-n", namespace)
        pod = deployment["spec"]["template"]["spec"]
        self.account = f"system:serviceaccount:{namespace}:{pod['serviceAccountName']}"
        self._kubeconfig = cluster.kubeconfig_of(namespace, pod["serviceAccountName"])
        self._web, scaler = free_ports(2)
        addresses = (f"--web-address={LOOPBACK}:{self._web}", f"--scaler-listen={LOOPBACK}:{scaler}")
        program = str(Path(sys.executable).with_name("sagesched-operator"))
        self._command = [program, *pod["containers"][0]["args"], *addresses]
        self._namespace = namespace
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = os.environ | {"KUBECONFIG": str(self._kubeconfig), "POD_NAMESPACE": self._namespace}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=30)

    def metrics(self) -> str:
        """The page."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self._web}/metrics", timeout=5) as answer:
            text: bytes = answer.read()
        return text.decode()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._web}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def until(condition: object, what: str, timeout_s: float = 30.0) -> None:
    """Wait until `condition()` is true."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.2)
