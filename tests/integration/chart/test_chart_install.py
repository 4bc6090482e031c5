"""helm install, upgrade and uninstall with the real binary against a real API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.control_plane import ControlPlane
from cluster.errors import ClusterError

CHART = Path(__file__).parents[3] / "charts" / "sagesched"
NAMESPACE = "chart-install"
DEFINITION = "llmservingpools.serving.sagesched.io"
POOL = {
    "apiVersion": "serving.sagesched.io/v1alpha1",
    "kind": "LLMServingPool",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {
        "replicas": 0,
        "model": {"name": "m", "source": {"pvc": {"claimName": "models"}}},
        "runtime": {"image": "example.com/triton:1"},
    },
}


@pytest.fixture
def release(chart_cluster: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster in which nothing of ours is installed, before and after."""
    _remove(chart_cluster)
    yield chart_cluster
    _remove(chart_cluster)


def _remove(cluster: ControlPlane) -> None:
    cluster.run("helm", "uninstall", "sagesched", "-n", NAMESPACE, "--ignore-not-found")
    cluster.kubectl("delete", "crd", DEFINITION, "--ignore-not-found")


def helm(cluster: ControlPlane, verb: str, *values: str) -> subprocess.CompletedProcess[str]:
    chart = [] if verb == "uninstall" else [str(CHART)]
    more = ["--create-namespace"] if verb == "install" else []
    return cluster.run("helm", verb, "sagesched", *chart, "-n", NAMESPACE, *more, *values)


def objects_of_release(cluster: ControlPlane) -> list[dict[str, Any]]:
    kinds = (
        "all,sa,cm,role,rolebinding,netpol,pdb,servicemonitor,prometheusrule,clusterrole,clusterrolebinding"
    )
    found = json.loads(
        cluster.kubectl("get", kinds, "-A", "-l", "app.kubernetes.io/instance=sagesched", "-o", "json")
    )
    return [item for item in found["items"] if item["kind"] not in ("Pod", "ReplicaSet")]


def test_install_upgrade_uninstall(release: ControlPlane) -> None:
    done = helm(release, "install")
    assert done.returncode == 0, done.stderr
    assert "looks after pools in every namespace" in done.stdout
    deployment = release.get("deployment", "sagesched", "-n", NAMESPACE)
    assert deployment["spec"]["replicas"] == 2
    release.kubectl("wait", f"crd/{DEFINITION}", "--for=condition=Established", "--timeout=30s")
    release.kubectl("apply", "-f", "-", stdin=json.dumps(POOL))

    done = helm(release, "upgrade", "--set", "replicas=3", "--set", "monitoring.serviceMonitor.enabled=true")
    assert done.returncode == 0, done.stderr
    assert release.get("deployment", "sagesched", "-n", NAMESPACE)["spec"]["replicas"] == 3
    assert release.get("servicemonitor", "sagesched", "-n", NAMESPACE)

    done = helm(release, "uninstall")
    assert done.returncode == 0, done.stderr
    assert objects_of_release(release) == []
    assert release.get("llmsp", "kept")["spec"]["model"]["name"] == "m", "pools outlive the operator"


def test_an_upgrade_without_changes_changes_nothing(release: ControlPlane) -> None:
    assert helm(release, "install").returncode == 0
    before = {
        item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in objects_of_release(release)
    }
    assert helm(release, "upgrade").returncode == 0
    after = {
        item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in objects_of_release(release)
    }
    # The Deployment's status moves by itself.
    moved = {uid for uid in before if before[uid] != after.get(uid)}
    uid = release.get("deployment", "sagesched", "-n", NAMESPACE)["metadata"]["uid"]
    assert moved <= {uid}
    assert set(before) == set(after)


def test_an_upgrade_brings_the_new_definition(release: ControlPlane) -> None:
    assert helm(release, "install").returncode == 0
    old = release.get("crd", DEFINITION)
    old["spec"]["versions"][0]["additionalPrinterColumns"] = old["spec"]["versions"][0][
        "additionalPrinterColumns"
    ][:1]
    for key in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"):
        old["metadata"].pop(key, None)
    release.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(old))
    assert helm(release, "upgrade", "--set", "log.level=debug", "--force").returncode == 0
    assert len(release.get("crd", DEFINITION)["spec"]["versions"][0]["additionalPrinterColumns"]) > 1


def test_without_keep_the_definition_goes_with_the_release(release: ControlPlane) -> None:
    assert helm(release, "install", "--set", "crds.keep=false").returncode == 0
    assert helm(release, "uninstall").returncode == 0
    release.kubectl("wait", f"crd/{DEFINITION}", "--for=delete", "--timeout=30s")


def test_a_definition_that_somebody_else_applies_is_left_alone(release: ControlPlane) -> None:
    crd = CHART / "files" / "llmservingpools.yaml"
    release.kubectl("apply", "--server-side", "-f", str(crd))
    assert helm(release, "install", "--set", "crds.enabled=false").returncode == 0
    assert "app.kubernetes.io/managed-by" not in release.get("crd", DEFINITION)["metadata"].get("labels", {})
    assert helm(release, "uninstall").returncode == 0
    assert release.get("crd", DEFINITION)


def test_a_release_that_was_removed_can_be_installed_again_over_the_kept_definition(
    release: ControlPlane,
) -> None:
    for verb in ("install", "uninstall", "install"):
        done = helm(release, verb)
        assert done.returncode == 0, done.stderr


def test_roles_let_a_teams_editor_write_pools_and_a_viewer_read_them(release: ControlPlane) -> None:
    assert helm(release, "install").returncode == 0
    for role, verb, answer in (("edit", "create", "yes"), ("view", "list", "yes"), ("view", "create", "no")):
        account = f"{role}-{verb}"
        release.kubectl("create", "sa", account, "-n", NAMESPACE)
        release.kubectl(
            *("create", "rolebinding", account, "-n", NAMESPACE),
            *(f"--clusterrole={role}", f"--serviceaccount={NAMESPACE}:{account}"),
        )
        asked = ("auth", "can-i", verb, "llmservingpools", "-n", NAMESPACE)
        who = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
        for _ in range(50):  # a controller gathers aggregated roles
            said = release.run("kubectl", *asked, who).stdout.strip()
            if said == answer:
                break
        assert said == answer


def test_the_helm_test_fails_where_no_operator_runs(release: ControlPlane) -> None:
    assert helm(release, "install").returncode == 0
    release.kubectl("wait", f"crd/{DEFINITION}", "--for=condition=Established", "--timeout=30s")
    done = _run_helm_test(release, wait_s="2")
    assert done.returncode == 1
    assert "has not taken up default/helm-test within 2 s" in done.stdout
    with pytest.raises(ClusterError, match="NotFound"):
        release.get("llmsp", "helm-test")


def _run_helm_test(cluster: ControlPlane, *, wait_s: str) -> subprocess.CompletedProcess[str]:
    """The script of the test's pod, outside a pod."""
    script = str(CHART / "scripts" / "test_pool.py")
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "WAIT_S": wait_s}
    return subprocess.run(
        [sys.executable, script, "default", "helm-test"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
