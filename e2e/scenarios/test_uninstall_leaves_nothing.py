"""Uninstalled as the docs say: pods serve until the pools are deleted, then nothing of ours is left."""

from __future__ import annotations

import pytest

from bed.installation import NAMESPACE, OPERATORS, RELEASE, helm
from bed.load import Load
from bed.pool import KIND, MakePool, emulated
from bed.record import Record
from bed.traffic import Traffic
from cluster.node.single_node import SingleNode

_SCOPES = ("--namespaced=true", "--namespaced=false")


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_uninstall_leaves_nothing(installed: SingleNode, make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(1)) as pool:
        helm(installed, "uninstall", RELEASE, "-n", NAMESPACE, "--wait")
        with Traffic(installed, Load(target=pool.address())) as traffic:
            account = traffic.run_for(5.0)
        record.answered(account, "without the release")
        pool.kubectl("delete", "llmsp", "--all")
        installed.kubectl("delete", "crd", KIND)
        pool.wait(lambda: not pool.pods(), "without pods", 120)
        left = _left(installed)
    record.proved("release, pools and definition deleted: no object of any kind has our labels")
    assert account.problems == []
    assert account.errors == {}
    assert left == ""
    assert helm(installed, "list", "-A", "-q").strip() == ""


def _left(cluster: SingleNode) -> str:
    """Every object of every kind that carries a label of ours."""
    kinds = ",".join(
        name
        for scope in _SCOPES
        for name in cluster.kubectl("api-resources", "--verbs=list", scope, "-o", "name").split()
        if not name.startswith("events")
    )
    selectors = ("serving.sagesched.io/pool", OPERATORS)
    return "".join(
        cluster.kubectl("get", kinds, "-A", "-l", selector, "-o", "name") for selector in selectors
    )
