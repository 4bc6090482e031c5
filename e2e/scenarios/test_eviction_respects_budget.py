"""Evictions, as node drains ask for them: one pod may go, the next only once the first is back."""

from __future__ import annotations

import json
import subprocess

import pytest

from bed.load import Load
from bed.pool import MakePool, Pool, emulated
from bed.record import Record
from bed.traffic import Traffic


@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_eviction_respects_budget(make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(2)) as pool:
        first, second = pool.ready_pods()
        with Traffic(pool.cluster, Load(target=pool.address(), tokens=(50, 200))) as traffic:
            done = _evict(pool, first)
            assert done.returncode == 0, done.stderr
            done = _evict(pool, second)
            assert "disruption budget" in done.stderr
            record.proved("the second eviction was refused while the first pod was going")
            pool.wait(lambda: len(pool.ready_pods()) == 2, "two ready pods again", 120)
            back = pool.wait(lambda: _evict(pool, second).returncode == 0, "allowed again", 60)
            record.proved(f"and allowed {back:.1f} s after the replacement was ready")
            pool.wait_settled()
            account = traffic.end()
    record.answered(account)
    assert account.problems == []
    assert account.errors == {}


def _evict(pool: Pool, pod: dict[str, dict[str, str]]) -> subprocess.CompletedProcess[str]:
    name = pod["metadata"]["name"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": pool.namespace},
    }
    path = f"/api/v1/namespaces/{pool.namespace}/pods/{name}/eviction"
    return pool.cluster.run("kubectl", "create", "--raw", path, "-f", "-", stdin=json.dumps(body))
