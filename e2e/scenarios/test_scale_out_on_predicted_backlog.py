"""KEDA scales a pool by predicted work: out under a backlog, in again after, and steadily through bursts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bed.bursts import AZURE_CODE_2023, bursty_requests
from bed.installation import forget_kinds
from bed.keda import keda
from bed.load import Load
from bed.pool import MakePool, Pool
from bed.record import Record
from bed.replicas import ReplicaLog
from bed.scaling import out_and_in, scaled_spec
from bed.traffic import Traffic
from cluster.addon_families import KEDA
from cluster.node.single_node import SingleNode


@pytest.fixture
def with_keda(installed: SingleNode) -> Iterator[None]:
    with keda(installed):
        forget_kinds(installed)
        yield
    forget_kinds(installed)


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.needs(KEDA.name)
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("with_keda")
def test_scale_out_on_predicted_backlog(make_pool: MakePool, record: Record) -> None:
    with make_pool(scaled_spec("KEDA")) as pool:
        pool.wait(lambda: pool.condition("ScalingActive").get("status") == "True", "scaling", 60)
        pool.kubectl("wait", "scaledobject", pool.name, "--for=condition=Ready", "--timeout=60s")
        out_and_in(pool, record)
        _through_bursts(pool, record)


def _through_bursts(pool: Pool, record: Record) -> None:
    trace = bursty_requests("bursts", AZURE_CODE_2023, (40, 120))
    load = Load(target=pool.address(), connections=6, trace=trace, name="bursts")
    with ReplicaLog(pool) as log, Traffic(pool.cluster, load) as traffic:
        account = traffic.wait(300)
    record.answered(account, f"a recorded bursty trace: replicas {log.in_words()}")
    assert account.problems == []
    assert account.errors == {}
    assert [replicas for _, replicas in log.changes] == [1, 2], "one step out, and no step back in a pause"
