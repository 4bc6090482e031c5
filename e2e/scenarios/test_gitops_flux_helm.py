"""The docs' two files for Flux, committed: a HelmRelease of the operator, and a team's pools."""

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
    RELEASES,
    SOURCES,
    TEAM,
    flux_for_a_team,
    look_again,
    ready,
    reconcile,
    wait_ready,
    wait_until,
)
from bed.flux import NAMESPACE as FLUX
from bed.git_repository import GitRepository
from bed.installation import NAMESPACE, RELEASE, helm
from bed.pool import Pool, a_document, emulated
from bed.record import Record
from cluster.node.single_node import SingleNode

_FLUX_NAME = "sagesched"
"""Of the GitRepository and the HelmRelease, as documented."""
_DOCUMENTED = ROOT / "docs" / "examples" / "flux"
_CLUSTER = {
    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
    "kind": "Kustomization",
    "metadata": {"name": "cluster", "namespace": FLUX},
    "spec": {
        "interval": "10m",
        "path": "./cluster",
        "prune": True,
        "sourceRef": {"kind": "GitRepository", "name": "sagesched"},
    },
}
"""What `flux bootstrap` makes for a folder of a cluster's own."""


@pytest.fixture
def cluster_with_flux(cluster: SingleNode) -> Iterator[SingleNode]:
    with flux_for_a_team(cluster):
        yield cluster


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.needs(*(each.name for each in FAMILIES))
@pytest.mark.timeout(600)
def test_gitops_flux_helm(cluster_with_flux: SingleNode, record: Record) -> None:
    cluster = cluster_with_flux
    with GitRepository(cluster, "platform") as repository:
        _from_nothing(cluster, repository, record)
        _other_values(cluster, repository, record)
        _nobody_fights(cluster, record)
        _a_misspelt_value(cluster, repository, record)
        _taken_out_of_git(cluster, repository, record)


def _from_nothing(cluster: SingleNode, repository: GitRepository, record: Record) -> None:
    """One commit: the chart, the operator, a pool."""
    shutil.copytree(ROOT / "charts" / "sagesched", repository.folder / "charts" / "sagesched")
    repository.write("cluster/operator.yaml", *_operator(repository.url, {}))
    repository.write("cluster/pools.yaml", *_pools(repository.url))
    repository.write("pools/llama.yaml", a_document("llama", emulated()))
    commit = repository.commit("everything")
    began = time.monotonic()
    source, _ = _operator(repository.url, {})
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([source, _CLUSTER]))
    wait_ready(cluster, "cluster", commit)
    wait_until(cluster, RELEASES, _FLUX_NAME, "True")
    wait_ready(cluster, "pools", commit)
    took_s = time.monotonic() - began
    assert Pool(cluster, "llama", TEAM).condition("Ready")["status"] == "True"
    record.proved(f"one commit: a HelmRelease installs the operator, and its pool is ready: {took_s:.1f} s")
    [release] = _releases(cluster)
    assert (release["name"], release["status"], release["revision"]) == (RELEASE, "deployed", "1")
    record.proved(f"helm list: {release['chart']}, {release['status']}")


def _other_values(cluster: SingleNode, repository: GitRepository, record: Record) -> None:
    """A commit with values, and with eyes open for drift."""
    began = time.monotonic()
    _commit(cluster, repository, {"replicas": 1, "log": {"level": "debug"}}, "values")
    deployment = cluster.get("-n", NAMESPACE, "deployment", RELEASE)
    assert deployment["spec"]["replicas"] == 1
    [release] = _releases(cluster)
    assert (release["status"], release["revision"]) == ("deployed", "2")
    record.proved(f"git commit → release upgraded and ready: {time.monotonic() - began:.1f} s")


def _nobody_fights(cluster: SingleNode, record: Record) -> None:
    """Helm's controller compares what it made with what is there: the operator changes nothing of it."""
    num_looks = look_again(cluster, RELEASES, _FLUX_NAME)
    [release] = _releases(cluster)
    assert release["revision"] == "2"
    assert ready(cluster, RELEASES, _FLUX_NAME)["status"] == "True"
    reasons = {each["reason"] for each in cluster.get("-n", FLUX, "events")["items"]}
    assert "DriftDetected" not in reasons
    record.proved(f"{num_looks} further looks with drift detection: no drift, nothing written")


def _a_misspelt_value(cluster: SingleNode, repository: GitRepository, record: Record) -> None:
    """The chart's schema refuses it and nothing changes; after a revert Flux has to be told to look anew."""
    before = cluster.get("-n", NAMESPACE, "deployment", RELEASE)["metadata"]["generation"]
    told = _commit(cluster, repository, {"replica": 3}, "a mistake", status="False")
    assert told["reason"] == "UpgradeFailed"
    assert "replica" in told["message"]
    record.proved(f"a misspelt value: {told['reason']}: {told['message'][:110]}...")
    began = time.monotonic()
    commit = repository.revert()
    reconcile(cluster, SOURCES, _FLUX_NAME)
    wait_ready(cluster, "cluster", commit)
    reconcile(cluster, RELEASES, _FLUX_NAME, force=True)
    wait_until(cluster, RELEASES, _FLUX_NAME, "True")
    assert cluster.get("-n", NAMESPACE, "deployment", RELEASE)["metadata"]["generation"] == before
    record.proved(f"git revert, flux reconcile --force → ready as before: {time.monotonic() - began:.1f} s")


def _taken_out_of_git(cluster: SingleNode, repository: GitRepository, record: Record) -> None:
    """The release goes, and its objects; definition and pools stay."""
    (repository.folder / "cluster" / "operator.yaml").unlink()
    repository.write("cluster/source.yaml", _operator(repository.url, {})[0])
    commit = repository.commit("no operator any more")
    reconcile(cluster, SOURCES, _FLUX_NAME)
    wait_ready(cluster, "cluster", commit)
    cluster.kubectl("-n", FLUX, "wait", f"{RELEASES}/{_FLUX_NAME}", "--for=delete", "--timeout=60s")
    assert _releases(cluster) == []
    assert cluster.run("kubectl", "-n", NAMESPACE, "get", "deployment", RELEASE).returncode
    assert Pool(cluster, "llama", TEAM).ready_pods()
    record.proved("out of Git: the release is gone, the pool serves on")


def _commit(
    cluster: SingleNode, repository: GitRepository, values: dict[str, Any], subject: str, status: str = "True"
) -> dict[str, str]:
    """Commit other values; returns the release's Ready, once it is `status` for them."""
    repository.write("cluster/operator.yaml", *_operator(repository.url, values))
    commit = repository.commit(subject)
    reconcile(cluster, SOURCES, _FLUX_NAME)
    wait_ready(cluster, "cluster", commit)
    return wait_until(cluster, RELEASES, _FLUX_NAME, status)


def _operator(url: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The documented ones; of the branch, without monitors, whose kinds this cluster has not."""
    source, release = yaml.safe_load_all((_DOCUMENTED / "operator.yaml").read_text())
    source["spec"] |= {"url": url, "ref": {"branch": "main"}}
    release["spec"] |= {"values": values, "driftDetection": {"mode": "enabled"}}
    return [source, release]


def _pools(url: str) -> list[dict[str, Any]]:
    source, kustomization = yaml.safe_load_all((_DOCUMENTED / "pools.yaml").read_text())
    source["spec"]["url"] = url
    kustomization["spec"]["retryInterval"] = "5s"
    return [source, kustomization]


def _releases(cluster: SingleNode) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(helm(cluster, "list", "-n", FLUX, "-o", "json"))
    return found
