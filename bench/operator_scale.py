"""A thousand pools on one operator: time to converge, writes, idle requests, memory, a change, a restart.

A real etcd, kube-apiserver and kube-controller-manager run on loopback. There is no kubelet: each pool's pod
is said to be ready by the bench, at an address of loopback where `/status` is answered as a gateway would
(`standing_gateways.py`), and the operator asks all of them every five seconds, as it does in a cluster.
Requests are those in the API server's audit log under the operator's own account.

    .venv/bin/python bench/operator_scale.py [--pools 1000] [--idle-seconds 120]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration" / "operator"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "sagesched_operator"))

from kubernetes import client
from operator_process import SYSTEM, USER, OperatorProcess, install, ready_status
from pool_cases import SMALLEST, a_pool
from standing_gateways import address

from cluster.audit import Request
from cluster.control_plane import ControlPlane
from sagesched_operator.api.pool import parse_pool
from sagesched_operator.build.settings import settings_digest, settings_of
from sagesched_operator.control.aggregate import PERIOD_S

NAMESPACE = "bench"
_STILL_S = 15.0
_OPTIONS = ("--reports-each", str(PERIOD_S))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    with (
        ControlPlane(schedules=False) as plane,
        tempfile.TemporaryDirectory() as folder,
        _gateways(options.pools, Path(folder)),
    ):
        install(plane)
        plane.kubectl("create", "namespace", NAMESPACE)
        config = plane.kubeconfig_of(SYSTEM, "sagesched-operator")
        operator = OperatorProcess(config, Path(folder) / "first.log", *_OPTIONS)
        try:
            operator.wait_leading()
            figures = _grow(plane, operator, options.pools)
            figures |= _serve(plane, operator, options.pools)
            figures |= _idle(plane, operator, options.pools, options.idle_seconds)
            figures |= _change(plane, operator, options.pools)
            told_at = time.monotonic()
            operator.stop()
            figures["ended after SIGTERM within"] = f"{time.monotonic() - told_at:.1f} s"
        finally:
            operator.kill()
        figures |= _restart(plane, config, Path(folder) / "second.log", options.pools)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs shared with the API server, etcd and the gateways"
    print(f"{options.pools} pools of one pod; {machine}")
    for name, value in figures.items():
        print(f"{name:<44} {value}")
    return 0


@contextmanager
def _gateways(count: int, folder: Path) -> Iterator[None]:
    """One for each pool, on that pool's settings."""
    pools = [parse_pool(a_pool(SMALLEST, name=_name(number), namespace=NAMESPACE)) for number in range(count)]
    digests = folder / "digests.txt"
    digests.write_text("\n".join(settings_digest(settings_of(pool)) for pool in pools))
    command = [sys.executable, str(Path(__file__).parent / "standing_gateways.py"), str(digests)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise SystemExit("the gateways do not listen; is port 8002 free?")
        yield
    finally:
        process.stdin.close()
        process.wait(30)


def _grow(plane: ControlPlane, operator: OperatorProcess, num_pools: int) -> dict[str, str]:
    before = operator.resident_bytes
    names = [_name(number) for number in range(num_pools)]
    began_at = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda some: _create(plane, some), _parts(names, 25)))
    created_s = time.monotonic() - began_at
    # The operator's own count first, since listing a thousand pools is load of its own.
    _until(lambda: (operator.metric("sagesched_operator_reconciles_total") or 0) >= num_pools, 900)
    while _num_with(plane, lambda status: "observedGeneration" in status) < num_pools:
        time.sleep(3)
    converged_s = time.monotonic() - began_at
    _settle(operator)
    settled_s = time.monotonic() - began_at - _STILL_S
    writes = _writes(plane)
    for_children = [request for request in writes if request.resource != "llmservingpools/status"]
    return {
        "pools created within": f"{created_s:.1f} s",
        "all converged (status current) within": f"{converged_s:.1f} s",
        "nothing more to write after": f"{settled_s:.1f} s",
        "API writes per pool": f"{len(writes) / num_pools:.2f}, "
        f"of these {len(for_children) / num_pools:.2f} for children",
        "memory": f"{operator.resident_bytes / 2**20:.0f} MiB ({before / 2**20:.0f} MiB without pools)",
    }


def _serve(plane: ControlPlane, operator: OperatorProcess, num_pools: int) -> dict[str, str]:
    """Let every pod be ready, and wait until every pool says what its gateway tells."""
    before = len(_writes(plane))
    api = client.CoreV1Api(plane.admin())

    label = "serving.sagesched.io/pool"
    pods = {pod.metadata.labels[label]: pod.metadata.name for pod in api.list_namespaced_pod(NAMESPACE).items}

    def make_ready(number: int) -> None:
        body = {"status": ready_status(address(number))}
        api.patch_namespaced_pod_status(pods[_name(number)], NAMESPACE, body)

    began_at = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make_ready, range(num_pools)))
    made_s = time.monotonic() - began_at
    while _num_with(plane, _is_heard) < num_pools:
        time.sleep(3)  # listing a thousand pools is load of its own
    heard_s = time.monotonic() - began_at
    _settle(operator)
    return {
        "pods said to be ready within": f"{made_s:.1f} s",
        "all pools ready and heard within": f"{heard_s:.1f} s",
        "API writes per pool for that": f"{(len(_writes(plane)) - before) / num_pools:.2f}",
        "memory with their pods": f"{operator.resident_bytes / 2**20:.0f} MiB",
    }


def _is_heard(status: dict[str, Any]) -> bool:
    is_ready = any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in status["conditions"]
    )
    return is_ready and status.get("settingsInEffect") is True


def _settle(operator: OperatorProcess) -> None:
    """Until nothing has been written for a while: the Deployments' controller is still at work."""
    before, since = -1.0, time.monotonic()
    while time.monotonic() - since < _STILL_S:
        time.sleep(0.5)
        now = operator.metric('sagesched_operator_reconciles_total{result="changed"') or 0.0
        if now != before:
            before, since = now, time.monotonic()


def _idle(plane: ControlPlane, operator: OperatorProcess, num_pools: int, seconds: float) -> dict[str, str]:
    before, cpu = len(_requests(plane)), operator.cpu_seconds
    asked = operator.metric('sagesched_operator_gateway_reports_total{outcome="read"') or 0.0
    answers_s = _probe(operator, seconds)
    num_requests = len(_requests(plane)) - before
    asked = (operator.metric('sagesched_operator_gateway_reports_total{outcome="read"') or 0.0) - asked
    pool_minutes = num_pools * seconds / 60
    return {
        f"requests when idle, in {seconds:.0f} s": f"{num_requests}",
        "requests per pool and minute when idle": f"{num_requests / pool_minutes:.4f}",
        "gateways read per pool and minute": f"{asked / pool_minutes:.1f}",
        "CPU when idle": f"{(operator.cpu_seconds - cpu) / seconds:.3f} cores",
        "/healthz when idle": _shown(answers_s),
    }


def _probe(operator: OperatorProcess, seconds: float) -> list[float]:
    """How long the operator's loop takes to answer a probe, again and again."""
    took, ends_at = [], time.monotonic() + seconds
    while time.monotonic() < ends_at:
        began_at = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/healthz", timeout=30):
            took.append(time.monotonic() - began_at)
        time.sleep(0.05)
    return took


def _shown(took: list[float]) -> str:
    took = sorted(took)
    parts = {"median": took[len(took) // 2], "p99": took[len(took) * 99 // 100], "longest": took[-1]}
    return ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in parts.items())


def _change(plane: ControlPlane, operator: OperatorProcess, num_pools: int) -> dict[str, str]:
    took = []
    for number in range(0, num_pools, max(num_pools // 20, 1)):
        name, image = _name(number), f"example.com/triton:{number}"
        patch = json.dumps({"spec": {"runtime": {"image": image}}})
        plane.kubectl("patch", "llmsp", name, "-n", NAMESPACE, "--type=merge", "-p", patch)
        began_at = time.monotonic()
        _until(partial(_has_image, plane, name, image), 30)
        took.append(time.monotonic() - began_at)
    took.sort()
    middle, longest = took[len(took) // 2], took[-1]
    _settle(operator)
    return {
        f"spec change in the children, {len(took)} times": f"median {middle:.2f} s, longest {longest:.2f} s"
    }


def _restart(plane: ControlPlane, config: Path, log: Path, num_pools: int) -> dict[str, str]:
    before, began_at = len(_writes(plane)), time.monotonic()
    operator = OperatorProcess(config, log, *_OPTIONS)
    try:
        operator.wait_leading()
        _until(lambda: (operator.metric("sagesched_operator_reconciles_total") or 0) >= num_pools, 300)
        looked_s = time.monotonic() - began_at
        time.sleep(2 * PERIOD_S)
        return {
            "after a restart, all pools looked at within": f"{looked_s:.1f} s",
            "writes after a restart": f"{len(_writes(plane)) - before}",
        }
    finally:
        operator.stop()


def _create(plane: ControlPlane, names: Sequence[str]) -> None:
    bodies = [a_pool(SMALLEST, name=name, namespace=NAMESPACE) for name in names]
    listed = {"apiVersion": "v1", "kind": "List", "items": bodies}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(listed))


def _num_with(plane: ControlPlane, has: Callable[[dict[str, Any]], bool]) -> int:
    """Pools whose status speaks of their current generation, and is so."""
    listed: list[dict[str, Any]] = plane.get("llmsp", "-n", NAMESPACE)["items"]
    current = [
        pool["status"]
        for pool in listed
        if pool.get("status", {}).get("observedGeneration") == pool["metadata"]["generation"]
    ]
    return sum(has(status) for status in current)


def _name(number: int) -> str:
    return f"pool-{number}"


def _has_image(plane: ControlPlane, name: str, image: str) -> bool:
    deployment = plane.get("deployment", name, "-n", NAMESPACE)
    found: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return found == image


def _requests(plane: ControlPlane) -> list[Request]:
    return plane.requests(USER)


def _writes(plane: ControlPlane) -> list[Request]:
    return [request for request in _requests(plane) if request.writes and request.namespace == NAMESPACE]


def _parts(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


def _until(condition: Callable[[], bool], wait_s: float) -> None:
    ends_at = time.monotonic() + wait_s
    while not condition():
        if time.monotonic() > ends_at:
            raise SystemExit(f"not within {wait_s:.0f} s")
        time.sleep(0.1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pools", type=int, default=1000)
    parser.add_argument("--idle-seconds", type=float, default=120.0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
