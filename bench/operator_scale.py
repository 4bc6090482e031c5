"""A thousand pools on one operator: time to converge, writes, idle requests, memory, a change, a restart.

A real etcd, kube-apiserver and kube-controller-manager run on loopback; there is no kubelet, so pods stay
pending. Requests are those in the API server's audit log under the operator's own account.

    .venv/bin/python bench/operator_scale.py [--pools 1000] [--idle-seconds 120]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration" / "operator"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "sagesched_operator"))

from operator_process import SYSTEM, USER, OperatorProcess, install
from pool_cases import SMALLEST, a_pool, merged

from cluster.audit import Request
from cluster.control_plane import ControlPlane

NAMESPACE = "bench"
_STILL_S = 15.0
SPEC = merged(SMALLEST, {"replicas": 0})
"""No pods: without a node to run them they would only load the controller manager."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    with ControlPlane(schedules=False) as plane, tempfile.TemporaryDirectory() as folder:
        install(plane)
        plane.kubectl("create", "namespace", NAMESPACE)
        config = plane.kubeconfig_of(SYSTEM, "sagesched-operator")
        operator = OperatorProcess(config, Path(folder) / "first.log")
        try:
            operator.wait_leading()
            figures = _grow(plane, operator, options.pools)
            figures |= _idle(plane, operator, options.pools, options.idle_seconds)
            figures |= _change(plane, options.pools)
        finally:
            operator.stop()
        figures |= _restart(plane, config, Path(folder) / "second.log", options.pools)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs shared with the API server and etcd"
    print(f"{options.pools} pools; {machine}")
    for name, value in figures.items():
        print(f"{name:<44} {value}")
    return 0


def _grow(plane: ControlPlane, operator: OperatorProcess, num_pools: int) -> dict[str, str]:
    before = operator.resident_bytes
    names = [f"pool-{number}" for number in range(num_pools)]
    began_at = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda some: _create(plane, some), _parts(names, 25)))
    created_s = time.monotonic() - began_at
    # The operator's own count first: listing a thousand pools again and again would be load of its own.
    _until(lambda: (operator.metric("sagesched_operator_reconciles_total") or 0) >= num_pools, 900)
    while _num_current(plane) < num_pools:
        time.sleep(1)
    converged_s = time.monotonic() - began_at
    _settle(operator)
    settled_s = time.monotonic() - began_at - _STILL_S
    writes = [request for request in _requests(plane) if request.writes and request.namespace == NAMESPACE]
    children = (
        len([request for request in writes if request.resource != "llmservingpools/status"]) / num_pools
    )
    return {
        "pools created within": f"{created_s:.1f} s",
        "all converged (status current) within": f"{converged_s:.1f} s",
        "nothing more to write after": f"{settled_s:.1f} s",
        "API writes per pool": f"{len(writes) / num_pools:.2f}, of these {children:.2f} for children",
        "memory": f"{operator.resident_bytes / 2**20:.0f} MiB ({before / 2**20:.0f} MiB without pools)",
    }


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
    time.sleep(seconds)
    num_requests = len(_requests(plane)) - before
    per_minute = num_requests / num_pools / seconds * 60
    return {
        f"requests when idle, in {seconds:.0f} s": f"{num_requests}",
        "requests per pool and minute when idle": f"{per_minute:.4f}",
        "CPU when idle": f"{(operator.cpu_seconds - cpu) / seconds:.3f} cores",
    }


def _change(plane: ControlPlane, num_pools: int) -> dict[str, str]:
    took = []
    for number in range(0, num_pools, max(num_pools // 20, 1)):
        name, image = f"pool-{number}", f"example.com/triton:{number}"
        patch = json.dumps({"spec": {"runtime": {"image": image}}})
        plane.kubectl("patch", "llmsp", name, "-n", NAMESPACE, "--type=merge", "-p", patch)
        began_at = time.monotonic()
        _until(partial(_has_image, plane, name, image), 30)
        took.append(time.monotonic() - began_at)
    took.sort()
    middle, longest = took[len(took) // 2], took[-1]
    return {
        f"spec change in the children, {len(took)} times": f"median {middle:.2f} s, longest {longest:.2f} s"
    }


def _restart(plane: ControlPlane, config: Path, log: Path, num_pools: int) -> dict[str, str]:
    before, began_at = len(_requests(plane)), time.monotonic()
    operator = OperatorProcess(config, log)
    try:
        operator.wait_leading()
        _until(lambda: (operator.metric("sagesched_operator_reconciles_total") or 0) >= num_pools, 300)
        looked_s = time.monotonic() - began_at
        time.sleep(5)
        since = _requests(plane)[before:]
        writes = [request for request in since if request.writes and request.namespace == NAMESPACE]
        return {
            "after a restart, all pools looked at within": f"{looked_s:.1f} s",
            "writes after a restart": f"{len(writes)}",
        }
    finally:
        operator.stop()


def _create(plane: ControlPlane, names: Sequence[str]) -> None:
    bodies = [a_pool(SPEC, name=name, namespace=NAMESPACE) for name in names]
    listed = {"apiVersion": "v1", "kind": "List", "items": bodies}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(listed))


def _num_current(plane: ControlPlane) -> int:
    """Pools whose status speaks of their current generation."""
    listed: list[dict[str, Any]] = plane.get("llmsp", "-n", NAMESPACE)["items"]
    return sum(
        pool.get("status", {}).get("observedGeneration") == pool["metadata"]["generation"] for pool in listed
    )


def _has_image(plane: ControlPlane, name: str, image: str) -> bool:
    deployment = plane.get("deployment", name, "-n", NAMESPACE)
    found: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return found == image


def _requests(plane: ControlPlane) -> list[Request]:
    return plane.requests(USER)


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
