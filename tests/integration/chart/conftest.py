"""A control plane of its own for the chart: installing and removing the CRD disturbs nobody else's pools."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from cluster.foreign_kinds import ensure_foreign_kinds
from cluster.schemas import write_schemas
from cluster.tools import Tools

CHART = Path(__file__).parents[3] / "charts" / "sagesched"

Helm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helm(cluster_tools: Tools) -> Helm:
    """Run helm without a cluster: lint, template."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [cluster_tools["helm"], *arguments], capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., str]:
    """Manifests of the chart for some values, as text."""

    def rendered(*arguments: str) -> str:
        done = helm("template", "sagesched", str(CHART), "-n", "sagesched-system", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return rendered


@pytest.fixture(scope="session")
def chart_cluster(cluster_tools: Tools) -> Iterator[ControlPlane]:
    """A cluster that has the kinds of Prometheus, KEDA, Argo CD and Flux, and not ours."""
    with ControlPlane(tools=cluster_tools) as running:
        for file in ensure_foreign_kinds():
            running.kubectl("apply", "--server-side", "-f", str(file))
        # Until all are served, whoever asks what there is may be told that it cannot be said now.
        running.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
        yield running


@pytest.fixture(scope="session")
def schemas(chart_cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strict schemas of all kinds, ours too, as the server publishes them."""
    crd = CHART / "files" / "llmservingpools.yaml"
    chart_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crd))
    chart_cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    folder = write_schemas(chart_cluster, tmp_path_factory.mktemp("schemas"))
    for _ in range(50):
        if (folder / "llmservingpool-serving-v1alpha1.json").exists():
            return folder
        write_schemas(chart_cluster, folder)  # the server publishes a new kind a moment later
    raise AssertionError("the server does not publish our kind")
