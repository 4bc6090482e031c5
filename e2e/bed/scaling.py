"""A pool that a scaler scales: its spec, a backlog that asks for a second pod, and the way back."""

from __future__ import annotations

import time
from typing import Any

from bed.load import Load
from bed.pool import LITTLE, Pool, emulated
from bed.record import Record
from bed.traffic import Traffic

TARGET_S = 3
SETTLED_S = 75
"""After the last need for a pod: a pause of the bursty trace (35 s) and until work piles up again.

Shorter than Kubernetes' own 300.
"""


def scaled_spec(actuator: str) -> dict[str, Any]:
    """Of a pool of one or two pods, with few places in the engine; `replicas` are left to the scaler."""
    scaling = {
        "actuator": actuator,
        "minReplicas": 1,
        "maxReplicas": 2,
        "targetBacklogSeconds": TARGET_S,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": SETTLED_S}},
    }
    gateway = {"inFlight": 3, "connectionAgeSeconds": 5, "resources": LITTLE}
    spec = emulated(gateway=gateway, scaling=scaling)
    del spec["replicas"]
    return spec


def out_and_in(pool: Pool, record: Record) -> None:
    """Clients whose requests pile up get a second pod on the connections they have; idle, it goes again."""
    [first] = pool.ready_pods()
    load = Load(target=pool.address(), connections=6, streams=4, tokens=(150, 300), name="backlog")
    with Traffic(pool.cluster, load) as traffic:
        pool.wait(lambda: _backlog_s(pool, first) > TARGET_S, "behind", 60)
        began = time.monotonic()
        pool.wait(lambda: len(pool.pods()) == 2, "asked for a second pod", 90)
        asked_s = time.monotonic() - began
        [second] = [pod for pod in pool.pods() if pod["metadata"]["uid"] != first["metadata"]["uid"]]
        pool.wait(lambda: len(pool.ready_pods()) == 2, "of two ready pods", 90)
        ready_s = time.monotonic() - began
        pool.wait(lambda: _in_flight(pool, second) > 0, "serving with both", 60)
        serves_s = time.monotonic() - began
        time.sleep(10.0)
        both = [_in_flight(pool, pod) for pod in (first, second)]
        account = traffic.end()
    record.proved(
        f"backlog above {TARGET_S} s → second pod asked for {asked_s:.1f} s, ready {ready_s:.1f} s, "
        f"serving the same clients {serves_s:.1f} s; then {both[0]} and {both[1]} in flight"
    )
    record.answered(account)
    assert all(both), "clients that were there before are served by both"
    assert account.problems == []
    assert account.errors == {}
    in_s = pool.wait(lambda: len(pool.pods()) == 1, "back to one pod", SETTLED_S + 90)
    record.proved(f"idle → back to one pod {in_s:.1f} s, {SETTLED_S} s of them the stabilization window")


def _backlog_s(pool: Pool, pod: dict[str, Any]) -> float:
    return float(pool.gateway_status(pod)["queue"]["backlog_p90_s"])


def _in_flight(pool: Pool, pod: dict[str, Any]) -> int:
    return int(pool.gateway_status(pod)["queue"]["in_flight"])
