"""What Argo CD shows of pools, by its own code: the health of every status, and through a pool's life."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bed import argo_cd
from bed.installation import scale
from bed.pool import KIND, MakePool, Pool, emulated
from bed.record import Record
from cluster.addon_families import ARGO_CD_HEALTH
from cluster.node.single_node import SingleNode
from cluster.pool_statuses import CASES, HEALTH_SCRIPT, health_in_lua, write_pools

_PLACE = "argo-cd-statuses"
_NOWHERE = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.needs(ARGO_CD_HEALTH.name)
@pytest.mark.timeout(420)
def test_gitops_argocd_health(installed: SingleNode, make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated()) as pool:
        _every_status(installed, record)
        _a_life(pool, record)


def _every_status(cluster: SingleNode, record: Record) -> None:
    """The statuses by which the script is tested without Argo CD: its own code says the same."""
    with _no_operator(cluster):
        cluster.kubectl("create", "namespace", _PLACE)
        try:
            pools = write_pools(cluster.kubectl, _PLACE)
        finally:
            cluster.kubectl("delete", "namespace", _PLACE)
    script = HEALTH_SCRIPT.read_text()
    verdicts = argo_cd.health(pools)
    assert verdicts == {name: health_in_lua(script, body) for name, body in pools.items()}
    for name, (status, message) in verdicts.items():
        expected, part = CASES[name].argo
        assert (status, part in message) == (expected, True), f"{name}: {status} {message}"
    told = ", ".join(f"{name}: {status}" for name, (status, _) in verdicts.items())
    record.proved(f"{len(verdicts)} statuses by Argo CD's code, as without it: {told}")


def _a_life(pool: Pool, record: Record) -> None:
    """One pool, its status written by the operator."""
    seen = []
    changes = {
        "Healthy": {},
        "Suspended": {"suspend": True},
        "Progressing": {"suspend": False},
        "Degraded": {"podTemplate": {"affinity": _NOWHERE}},
    }
    for expected, change in changes.items():
        if change:
            pool.patch(change)
        took_s = pool.wait(lambda expected=expected: _health(pool)[0] == expected, expected, 90)
        seen.append(f"{expected} ({took_s:.1f} s): {_health(pool)[1]}")
    pool.patch({"podTemplate": None})
    pool.wait(lambda: _health(pool)[0] == "Healthy", "Healthy again", 120)
    record.proved("a pool's life: " + "; ".join(seen))


def _health(pool: Pool) -> tuple[str, str]:
    return argo_cd.health({"it": pool.get(KIND, pool.name)})["it"]


@contextmanager
def _no_operator(cluster: SingleNode) -> Iterator[None]:
    """For as long as statuses are written that it would correct."""
    before = scale(cluster, 0)
    try:
        yield
    finally:
        scale(cluster, before)
