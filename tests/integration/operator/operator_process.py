"""The operator as a user runs it: a process of its own against a real API server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.control_plane import ControlPlane
from cluster.errors import ClusterError

ROOT = Path(__file__).parents[3]
SYSTEM = "sagesched-system"
USER = f"system:serviceaccount:{SYSTEM}:sagesched-operator"
WAIT_S = 30.0


def until(condition: Callable[[], Any], wait_s: float = WAIT_S, *, what: str = "") -> Any:
    """Wait for something that is true; returns it."""
    give_up_at = time.monotonic() + wait_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < give_up_at, f"waited in vain {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def apply_definition(plane: ControlPlane) -> None:
    """The CRD, until the API server takes pools."""
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds" / "llmservingpools.yaml"))
    until(lambda: not plane.run("kubectl", "get", "llmsp").returncode)


def install(plane: ControlPlane) -> None:
    """The CRD, and the chart's roles for the operator's service account."""
    apply_definition(plane)
    plane.kubectl("create", "namespace", SYSTEM)
    rendered = plane.run(
        "helm",
        *("template", "sagesched-operator", str(ROOT / "charts" / "sagesched"), "--namespace", SYSTEM),
        *("--set", "fullnameOverride=sagesched-operator"),
        *("--show-only", "templates/rbac.yaml", "--show-only", "templates/serviceaccount.yaml"),
    )
    assert not rendered.returncode, rendered.stderr
    plane.kubectl("apply", "-f", "-", stdin=rendered.stdout)


class OperatorProcess:
    """`sagesched-operator run`; end it with `stop` or `kill`."""

    def __init__(self, kubeconfig: Path, log: Path, *options: str) -> None:
        self.log = log
        self.port, scaler_port = free_port(), free_port()
        self.scaler_address = f"127.0.0.1:{scaler_port}"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "sagesched_operator.cli", "run"),
                    *("--web-address", f"127.0.0.1:{self.port}", "--scaler-listen", self.scaler_address),
                    *("--operator-namespace", SYSTEM, "--reports-each", "0.5", *options),
                ],
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
                stderr=file,
            )

    def wait_ready(self) -> None:
        until(lambda: self._process.poll() is not None or self.answers("/readyz"), what=self.log.read_text())
        assert self._process.poll() is None, self.log.read_text()

    def wait_leading(self) -> None:
        until(lambda: self.metric("sagesched_operator_leader") == 1, what=self.log.read_text()[-2000:])

    def answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def series(self) -> Iterator[tuple[str, float]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line and not line.startswith("#"):
                    name, _, value = line.rpartition(" ")
                    yield name, float(value)

    def metric(self, start: str) -> float | None:
        """Sum of the series whose names start so; None where there is none."""
        try:
            found = [value for name, value in self.series() if name.startswith(start)]
        except (urllib.error.URLError, OSError):
            return None
        return sum(found) if found else None

    @property
    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(20)
        finally:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def exit_code(self, wait_s: float = WAIT_S) -> int:
        return self._process.wait(wait_s)


@contextmanager
def running(plane: ControlPlane, folder: Path, *options: str) -> Iterator[OperatorProcess]:
    """An operator with the chart's rights, leading."""
    kubeconfig = plane.kubeconfig_of(SYSTEM, "sagesched-operator")
    operator = OperatorProcess(kubeconfig, folder / f"operator-{free_port()}.log", *options)
    try:
        operator.wait_ready()
        operator.wait_leading()
        yield operator
    finally:
        operator.stop()


class Space:
    """A namespace of a test's own, and what is in it."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self.plane = plane
        self.name = name

    def apply(self, spec: dict[str, Any], name: str = "llama") -> None:
        body = {
            "apiVersion": "serving.sagesched.io/v1alpha1",
            "kind": "LLMServingPool",
            "metadata": {"name": name, "namespace": self.name},
            "spec": spec,
        }
        self.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.plane.kubectl("-n", self.name, *arguments, stdin=stdin)

    def get(self, *arguments: str) -> dict[str, Any]:
        return self.plane.get("-n", self.name, *arguments)

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        try:
            return self.get(kind, name)
        except ClusterError as error:
            if "not found" not in str(error):
                raise
            return None

    def names(self, kinds: str) -> set[str]:
        """`Kind/name` of all objects of the pool's in the namespace."""
        listed = self.get(kinds, "-l", "serving.sagesched.io/pool")["items"]
        return {f"{item['kind']}/{item['metadata']['name']}" for item in listed}

    def condition(self, type_: str, name: str = "llama") -> dict[str, Any]:
        """A condition of the pool; an empty one where there is none."""
        pool = self.get("llmsp", name)
        conditions = pool.get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == type_), {})

    def wait_condition(self, type_: str, name: str = "llama", **wanted: str) -> dict[str, Any]:
        """Until a condition of the pool has the wanted `status` or `reason`; returns it."""

        def look() -> dict[str, Any] | None:
            condition = self.condition(type_, name)
            return condition if wanted.items() <= condition.items() else None

        result: dict[str, Any] = until(look, what=f"for {type_} {wanted}")
        return result

    def image(self) -> str:
        """Triton's, of the pool's pods as they are wanted."""
        containers = self.get("deployment", "llama")["spec"]["template"]["spec"]["containers"]
        return str(containers[0]["image"])

    def wait_status(self, status: Callable[[dict[str, Any]], Any], name: str = "llama") -> dict[str, Any]:
        """Until the pool's status, of its current generation, is as wanted."""

        def look() -> dict[str, Any] | None:
            pool = self.get("llmsp", name)
            found: dict[str, Any] = pool.get("status", {})
            is_current = found.get("observedGeneration") == pool["metadata"]["generation"]
            return found if is_current and status(found) else None

        result: dict[str, Any] = until(look)
        return result

    def wait_made(self, replicas: int = 1) -> dict[str, Any]:
        """Until the pods are there, and the status says what they wait for; returns the status."""
        return self.wait_status(lambda status: status.get("replicas") == replicas and "conditions" in status)

    def pods(self) -> list[dict[str, Any]]:
        pods: list[dict[str, Any]] = self.get("pods")["items"]
        return pods

    def make_ready(self, pod: dict[str, Any], ip: str = "") -> None:
        """What kubelet would say of a pod that runs well."""
        self.set_status("pod", pod["metadata"]["name"], ready_status(ip))

    def set_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)


def ready_status(ip: str = "") -> dict[str, Any]:
    """Of a pod that runs well."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    conditions = [
        {"type": type_, "status": "True", "lastTransitionTime": now}
        for type_ in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    status: dict[str, Any] = {"phase": "Running", "conditions": conditions}
    return status | ({"podIP": ip, "podIPs": [{"ip": ip}]} if ip else {})


def words(conditions: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Type → status."""
    return {condition["type"]: condition["status"] for condition in conditions}
