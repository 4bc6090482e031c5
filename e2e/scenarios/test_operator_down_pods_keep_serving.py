"""The operator is away: pods serve on, a lost one is replaced; an operator that returns changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bed.installation import scale
from bed.load import Load
from bed.pool import MakePool, emulated
from bed.record import Record
from bed.traffic import Traffic
from cluster.node.single_node import SingleNode

_OPERATORS = 2


@pytest.fixture
def returning(installed: SingleNode) -> Iterator[SingleNode]:
    yield installed
    scale(installed, _OPERATORS)


@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_operator_down_pods_keep_serving(returning: SingleNode, make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(2)) as pool:
        scale(returning, 0)
        before = pool.get("deployment", pool.name)["metadata"]["generation"]
        with Traffic(returning, Load(target=pool.address(), tokens=(50, 200))) as traffic:
            time.sleep(2.0)
            gone = pool.ready_pods()[0]["metadata"]["name"]
            pool.kubectl("delete", "pod", gone, "--wait=false")
            pool.wait(lambda: len(pool.ready_pods()) == 2, "two pods without the operator", 120)
            scale(returning, _OPERATORS)
            pool.wait_settled()
            account = traffic.end()
        after = pool.get("deployment", pool.name)["metadata"]["generation"]
    record.answered(account, "without an operator a pod was deleted and replaced")
    assert account.problems == []
    assert account.errors == {}
    assert after == before
