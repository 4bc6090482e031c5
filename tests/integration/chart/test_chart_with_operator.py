"""The installed chart with its operator at work, as Git and Helm see it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane

sys.path.insert(0, str(Path(__file__).parent))
from chart_operator import OperatorProcess, until

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "sagesched"
POOL = ROOT / "docs" / "examples" / "pool.yaml"
HOME = "with-operator"


@pytest.fixture(scope="module")
def cluster(chart_cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The chart installed for all namespaces, and its operator running."""
    run = chart_cluster
    run.run("helm", "uninstall", "sagesched", "-n", HOME, "--ignore-not-found")
    run.kubectl("delete", "crd", "llmservingpools.serving.sagesched.io", "--ignore-not-found")
    done = run.run(
        *("helm", "install", "sagesched", str(CHART), "-n", HOME, "--create-namespace"),
        *("--set", "crds.keep=false"),
    )
    assert done.returncode == 0, done.stderr
    run.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    with OperatorProcess(run, HOME, tmp_path_factory.mktemp("operator") / "log"):
        yield run
    run.run("helm", "uninstall", "sagesched", "-n", HOME)


def test_the_helm_test_passes(cluster: ControlPlane) -> None:
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    command = [sys.executable, str(CHART / "scripts" / "test_pool.py"), "default", "helm-test"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has taken up default/helm-test" in done.stdout


@pytest.mark.parametrize("apply", [("--server-side",), ()], ids=["server-side", "client-side"])
def test_git_and_cluster_do_not_differ_once_the_operator_has_acted(
    cluster: ControlPlane, apply: tuple[str, ...]
) -> None:
    cluster.kubectl("apply", *apply, "-f", str(POOL))
    until(lambda: "conditions" in cluster.get("llmsp", "llama").get("status", {}), "a status")
    done = cluster.run("kubectl", "diff", *apply, "-f", str(POOL))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    cluster.kubectl("delete", "-f", str(POOL))


def test_the_operator_writes_status_and_nothing_else_of_the_pool(cluster: ControlPlane) -> None:
    cluster.kubectl("apply", "--server-side", "--field-manager=git", "-f", str(POOL))
    until(lambda: "conditions" in cluster.get("llmsp", "llama").get("status", {}), "a status")
    pool = cluster.get("llmsp", "llama", "--show-managed-fields")
    owned = {entry["manager"]: set(entry["fieldsV1"]) for entry in pool["metadata"]["managedFields"]}
    assert owned["sagesched-operator"] == {"f:status"}
    assert "finalizers" not in pool["metadata"]
    cluster.kubectl("delete", "-f", str(POOL))
