"""`kubectl drain` of a node: its pods go one after the other, and no stream is cut."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from bed.load import Load
from bed.pool import MakePool, emulated
from bed.record import Record
from bed.traffic import Traffic
from cluster.node.layout import NODE
from cluster.node.single_node import SingleNode


@pytest.fixture
def uncordoned(installed: SingleNode) -> Iterator[SingleNode]:
    yield installed
    installed.kubectl("uncordon", NODE)


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(600)
def test_drain_node_streams_finish(uncordoned: SingleNode, make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(2)) as pool:
        old = {pod["metadata"]["uid"] for pod in pool.ready_pods()}
        load = Load(target=pool.address(), tokens=(50, 300))
        with Traffic(pool.cluster, load) as traffic:
            time.sleep(3.0)
            drain = _start_drain(pool.cluster, pool.name)
            try:
                pool.wait(
                    lambda: any("deletionTimestamp" in pod["metadata"] for pod in pool.pods()), "going", 30
                )
                # There is no other node to go to: the budget keeps the second until the first is replaced.
                time.sleep(8.0)
                assert len(pool.ready_pods()) == 1
                record.proved("cordoned: one pod finished its streams, the budget kept the other serving")
                pool.cluster.kubectl("uncordon", NODE)
                drain.wait(300)
                assert drain.returncode == 0, drain.stderr.read() if drain.stderr else ""
            finally:
                drain.kill()
                drain.communicate()
            pool.wait_settled()
            time.sleep(2.0)
            account = traffic.end()
        new = {pod["metadata"]["uid"] for pod in pool.ready_pods()}
    record.answered(account)
    assert account.problems == []
    assert account.errors == {}
    assert not new & old


def _start_drain(cluster: SingleNode, pool: str) -> subprocess.Popen[str]:
    """As an administrator does it, but for one pool's pods: the rest of the node has nowhere to go."""
    selector = f"--pod-selector=serving.sagesched.io/pool={pool}"
    command = ["kubectl", "drain", NODE, selector, "--delete-emptydir-data", "--ignore-daemonsets"]
    return subprocess.Popen(
        cluster.inside(*command),
        env=cluster.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
