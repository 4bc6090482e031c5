"""One team, few rights: the operator, installed as the guide says, serves its namespace and no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bed.documented import commands_under
from bed.installation import OPERATORS, RELEASE, helm, remove
from bed.load import Load
from bed.pool import Pool, emulated
from bed.record import Record
from bed.terminal import Terminal
from bed.traffic import Traffic
from cluster.node.single_node import SingleNode

_TEAM, _OTHERS = "team-a", "team-b"


@pytest.fixture
def team(cluster: SingleNode) -> Iterator[SingleNode]:
    """The release in the team's namespace, the definition applied by an administrator."""
    remove(cluster)
    for name in (_TEAM, _OTHERS):
        cluster.kubectl("create", "namespace", name)
    with Terminal(cluster) as terminal:
        for command in commands_under("docs/guides/install.md", "## One team, few rights"):
            terminal.run(command)
    yield cluster
    helm(cluster, "uninstall", RELEASE, "-n", _TEAM, "--wait")
    cluster.kubectl("delete", "namespace", _TEAM, _OTHERS)
    cluster.kubectl("delete", "crd", "llmservingpools.serving.sagesched.io")


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_namespaced_rbac(team: SingleNode, record: Record) -> None:
    cluster = team
    cluster.kubectl("-n", _TEAM, "rollout", "status", f"deployment/{RELEASE}", "--timeout=90s")
    for kind in ("clusterroles", "clusterrolebindings"):
        assert not [
            each["metadata"]["name"]
            for each in cluster.get(kind)["items"]
            if "sagesched" in each["metadata"]["name"]
        ]
    account_name = f"system:serviceaccount:{_TEAM}:{RELEASE}"
    for namespace, expected in ((_TEAM, "yes"), (_OTHERS, "no")):
        for what in (("patch", "deployments.apps"), ("create", "services"), ("patch", "configmaps")):
            answer = cluster.run("kubectl", "auth", "can-i", *what, "-n", namespace, "--as", account_name)
            assert answer.stdout.strip() == expected, (what, namespace)
    secrets = cluster.run("kubectl", "auth", "can-i", "get", "secrets", "-n", _TEAM, "--as", account_name)
    assert secrets.stdout.strip() == "no"
    record.proved("no cluster role; rights in the team's namespace alone, no Secrets there either")

    ours, theirs = Pool(cluster, namespace=_TEAM), Pool(cluster, namespace=_OTHERS)
    theirs.apply(emulated())
    ours.apply(emulated())
    ours.wait_settled()
    with Traffic(cluster, Load(target=ours.address())) as traffic:
        account = traffic.run_for(5.0)
    record.answered(account)
    assert account.problems == []
    assert account.errors == {}
    assert account.num_complete > 20
    assert theirs.status() == {"observedGeneration": -1}  # the default: nobody has looked at it
    assert theirs.pods() == []
    log = cluster.kubectl("-n", _TEAM, "logs", "-l", OPERATORS, "--tail=-1")
    assert "orbidden" not in log
    record.proved("another namespace's pool is left alone; the operator was never refused")
