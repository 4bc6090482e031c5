"""A gateway crashes: its own streams end with an error, the other pod's go on, kubelet starts it alone."""

from __future__ import annotations

import time

import pytest

from bed.load import Load
from bed.pool import MakePool, emulated, restarts
from bed.record import Record
from bed.traffic import Traffic


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_gateway_crash(make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(2)) as pool:
        crashes, stays = pool.ready_pods()
        to_service = Load(target=pool.address(), tokens=(50, 300), name="service")
        to_other = Load(target=stays["status"]["podIP"], tokens=(50, 300), name="other")
        with Traffic(pool.cluster, to_service) as clients, Traffic(pool.cluster, to_other) as others:
            time.sleep(5.0)
            pool.crash(crashes, "gateway")
            pool.wait(lambda: len(pool.ready_pods()) == 1, "noticed", 30)
            back = pool.wait(lambda: len(pool.ready_pods()) == 2, "back", 90)
            time.sleep(3.0)
            account, other = clients.end(), others.end()
        [crashed] = [pod for pod in pool.pods() if pod["metadata"]["uid"] == crashes["metadata"]["uid"]]
    record.answered(account, "through the Service")
    record.answered(other, "to the other pod", f"; the crashed one was back {back:.1f} s later")
    assert restarts(crashed) == {"gateway": 1}
    assert account.problems == other.problems == []
    assert other.errors == {}
    assert all("UNAVAILABLE" in error for error in account.errors)
    assert account.num_complete > 10
