"""A platform in Git: Flux installs the operator, makes a pool, changes it and takes a change back."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bed.documented import ROOT
from bed.flux import (
    FAMILIES,
    KUSTOMIZATIONS,
    SOURCES,
    TEAM,
    flux_for_a_team,
    look_again,
    ready,
    reconcile,
    wait_ready,
)
from bed.flux import NAMESPACE as FLUX
from bed.git_repository import GitRepository
from bed.installation import NAMESPACE, RELEASE
from bed.load import Load
from bed.pool import KIND, Pool, a_document, emulated
from bed.record import Record
from bed.traffic import Traffic
from cluster.node.single_node import SingleNode

_FILE = "pools/llama.yaml"


@pytest.fixture
def cluster_with_flux(cluster: SingleNode) -> Iterator[SingleNode]:
    with flux_for_a_team(cluster):
        yield cluster
    # Flux was told to leave the operator when its Kustomization goes, and Helm does not know of it.
    cluster.kubectl("delete", "--ignore-not-found", "-k", str(ROOT / "charts" / "manifests"))


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.needs(*(each.name for each in FAMILIES))
@pytest.mark.timeout(900)
def test_gitops_flux(cluster_with_flux: SingleNode, record: Record) -> None:
    cluster = cluster_with_flux
    with GitRepository(cluster, "platform") as repository:
        _install_by_commit(cluster, repository, record)
        _fleet(cluster, repository, record)
        _take_away(cluster, record)


def _install_by_commit(cluster: SingleNode, repository: GitRepository, record: Record) -> None:
    """The rendered chart, by a commit."""
    shutil.copytree(ROOT / "charts", repository.folder / "charts")
    commit = repository.commit("sagesched: the operator")
    began = time.monotonic()
    source, kustomization = _documents(repository.url)
    operator = json.loads(json.dumps(kustomization))
    operator["metadata"]["name"] = "operator"
    operator["spec"] |= {"path": "./charts/manifests", "prune": False}
    del operator["spec"]["targetNamespace"]
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([source, operator]))
    wait_ready(cluster, "operator", commit)
    record.proved(
        f"objects for Flux applied → operator installed and ready: {time.monotonic() - began:.1f} s"
    )


def _fleet(cluster: SingleNode, repository: GitRepository, record: Record) -> None:
    """A pool by a commit, a change by another, a mistake by a third, taken back by a fourth."""
    pool = Pool(cluster, "llama", TEAM)
    _, kustomization = _documents(repository.url)
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(kustomization))
    told = _commit(repository, cluster, pool, emulated(scheduling={"policy": "fcfs"}), "a pool")
    is_ready = pool.condition("Ready")
    assert is_ready["status"] == "True"
    assert told["lastTransitionTime"] >= is_ready["lastTransitionTime"], "ready no earlier than the pool"
    record.proved("a commit makes a pool; the Kustomization is ready once the pool is")

    with Traffic(cluster, Load(target=pool.address())) as traffic:
        [pod] = pool.ready_pods()
        changed = emulated(scheduling={"policy": "gittins-boost"})
        took_s = _policy_by_commit(repository, cluster, pool, changed, "gittins-boost")
        record.proved(f"git commit → new policy in effect: {took_s:.1f} s")
        nowhere = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
        }
        wrong = changed | {"scheduling": {"policy": "ssjf"}, "podTemplate": {"affinity": nowhere}}
        told = _commit(repository, cluster, pool, wrong, "a mistake", status="False")
        assert told["reason"] == "HealthCheckFailed"
        record.proved(f"a spec that cannot be carried out: {told['reason']}: {told['message'][:90]}...")
        began = time.monotonic()
        commit = repository.revert()
        reconcile(cluster, SOURCES, "pools")
        wait_ready(cluster, "pools", commit)
        pool.wait(lambda: pool.gateway_status(pod)["policy"] == "gittins-boost", "as before", 90)
        record.proved(f"git revert → ready as before: {time.monotonic() - began:.1f} s")
        account = traffic.end()
    record.answered(account)
    assert account.problems == []
    assert account.errors == {}
    assert [each["metadata"]["uid"] for each in pool.pods()] == [pod["metadata"]["uid"]]
    _nobody_fights(cluster, pool, record)


def _nobody_fights(cluster: SingleNode, pool: Pool, record: Record) -> None:
    def versions() -> dict[str, str]:
        kinds = "deployment,service,configmap,poddisruptionbudget,networkpolicy"
        items = pool.get(kinds, "-l", f"serving.sagesched.io/pool={pool.name}")["items"]
        found = {f"{each['kind']}/{each['metadata']['name']}": _spec_version(each) for each in items}
        document = pool.get(KIND, pool.name)
        found["pool"] = f"{document['metadata']['generation']} {json.dumps(document['spec'], sort_keys=True)}"
        found["operator"] = _spec_version(cluster.get("-n", NAMESPACE, "deployment", RELEASE))
        return found

    before = versions()
    names = ("operator", "pools")
    num_looks = look_again(cluster, KUSTOMIZATIONS, *names)
    assert versions() == before
    for name in names:
        assert ready(cluster, KUSTOMIZATIONS, name)["status"] == "True"
    record.proved(f"{num_looks} further looks by Flux, {len(before)} objects: nothing written")


def _spec_version(document: dict[str, Any]) -> str:
    """Changes with whatever is written but status."""
    metadata = document["metadata"]
    content = {key: value for key, value in document.items() if key not in ("metadata", "status")}
    return f"{metadata.get('generation', '')} {json.dumps(content, sort_keys=True)}"


def _take_away(cluster: SingleNode, record: Record) -> None:
    """Flux takes away what it made for the team."""
    cluster.kubectl("delete", "-n", FLUX, KUSTOMIZATIONS, "pools", "--timeout=60s")
    assert cluster.get("-n", TEAM, "llmsp")["items"] == []
    record.proved("a Kustomization that goes takes its pool with it")


def _documents(url: str) -> list[dict[str, Any]]:
    """The objects of the documentation's example, with the team's repository."""
    text = (ROOT / "docs" / "examples" / "flux" / "pools.yaml").read_text()
    documents = list(yaml.safe_load_all(text))
    documents[0]["spec"]["url"] = url
    return documents


def _commit(
    repository: GitRepository,
    cluster: SingleNode,
    pool: Pool,
    spec: dict[str, Any],
    subject: str,
    status: str = "True",
) -> dict[str, str]:
    """Commit the pool with this spec; returns the Kustomization's Ready, once it is `status` for that."""
    repository.write(_FILE, a_document(pool.name, spec))
    commit = repository.commit(f"llm: {subject}")
    reconcile(cluster, SOURCES, "pools")
    return wait_ready(cluster, "pools", commit, status)


def _policy_by_commit(
    repository: GitRepository, cluster: SingleNode, pool: Pool, spec: dict[str, Any], policy: str
) -> float:
    """Seconds from `git commit` until the gateway orders by the policy, Flux being told of the push."""
    [pod] = pool.ready_pods()
    repository.write(_FILE, a_document(pool.name, spec))
    began = time.monotonic()
    commit = repository.commit(f"llm: {policy}")
    reconcile(cluster, SOURCES, "pools")
    pool.wait(lambda: pool.gateway_status(pod)["policy"] == policy, f"under {policy}", 90)
    took_s = time.monotonic() - began
    wait_ready(cluster, "pools", commit)
    return took_s
