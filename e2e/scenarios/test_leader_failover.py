"""The leading operator hangs: another one leads, acts, and the first stands back when it wakes up."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from bed import container_process
from bed.installation import NAMESPACE, scale
from bed.load import Load
from bed.pool import MakePool, Pool, emulated
from bed.record import Record
from bed.traffic import Traffic
from bed.troubles import leader
from cluster.node.single_node import SingleNode

_PROMISED_S = 25.0
"""A lease lasts 15 seconds, others look every 4, and what is asked has to be done."""


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_leader_failover(make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated()) as pool:
        cluster = pool.cluster
        before = scale(cluster, 2)
        try:
            with Traffic(cluster, Load(target=pool.address())) as traffic:
                old = _leader(cluster)
                frozen = container_process.send(old, "operator", signal.SIGSTOP)
                began = time.monotonic()
                try:
                    pool.patch({"scheduling": {"policy": "fcfs"}})
                    pool.wait(lambda: leader(cluster) != _name(old), "led by another", 60)
                    led_s = time.monotonic() - began
                    pool.wait(lambda: _told_policy(pool) == "fcfs", "under the new settings", 60)
                    acted_s = time.monotonic() - began
                finally:
                    container_process.send(old, "operator", signal.SIGCONT)
                record.proved(
                    f"leader (process {frozen}) stopped: another leads after {led_s:.1f} s, "
                    f"a change made meanwhile is in the gateways' settings after {acted_s:.1f} s"
                )
                new = leader(cluster)
                time.sleep(15.0)
                assert leader(cluster) == new
                account = traffic.end()
        finally:
            scale(cluster, before)
    record.proved("the old leader woke up and stood back")
    record.answered(account)
    assert led_s < _PROMISED_S
    assert account.problems == []
    assert account.errors == {}


def _name(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["name"])


def _leader(cluster: SingleNode) -> dict[str, Any]:
    name = leader(cluster)
    return cluster.get("-n", NAMESPACE, "pod", name)


def _told_policy(pool: Pool) -> str:
    settings = pool.get("configmaps", "-l", f"serving.sagesched.io/pool={pool.name}")["items"]
    text = next(iter(settings))["data"]["gateway.yaml"]
    return "fcfs" if "policy: fcfs" in text else "another"
