"""What Argo CD (by the health script) and Flux (by its own library) make of a pool's status.

Every status is written to a real API server first, so none of them is one that a pool cannot have.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.control_plane import ControlPlane
from cluster.pool_statuses import CASES, HEALTH_SCRIPT, health_in_lua, write_pools
from cluster.schemas import conform
from cluster.tools import Tools

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def pools(chart_cluster: ControlPlane) -> dict[str, dict[str, Any]]:
    """By name of the case: the pools as the API server gives them back."""
    crd = ROOT / "crds" / "llmservingpools.yaml"
    chart_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crd))
    chart_cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    chart_cluster.kubectl("delete", "llmsp", "--all", "-n", "default")
    return write_pools(chart_cluster.kubectl, "default")


@pytest.mark.parametrize("name", CASES)
def test_argo_cd(name: str, pools: dict[str, dict[str, Any]]) -> None:
    case = CASES[name]
    status, message = health_in_lua(HEALTH_SCRIPT.read_text(), pools[name])
    assert (status, case.argo[1] in message) == (case.argo[0], True), message


@pytest.mark.parametrize("name", CASES)
def test_flux(name: str, pools: dict[str, dict[str, Any]], cluster_tools: Tools) -> None:
    done = subprocess.run(
        [cluster_tools["kstatus"]], input=json.dumps(pools[name]), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["status"] == CASES[name].flux, done.stdout


def test_the_config_map_for_argo_cd_holds_the_script() -> None:
    document = yaml.safe_load((EXAMPLES / "argocd" / "argocd-cm.yaml").read_text())
    key = "resource.customizations.health.serving.sagesched.io_LLMServingPool"
    assert document["data"] == {key: HEALTH_SCRIPT.read_text()}


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda file: file.name)
def test_every_example_fits_the_schemas_of_its_kinds(
    chart_cluster: ControlPlane, schemas: Path, file: Path
) -> None:
    assert conform(chart_cluster, schemas, file.read_text()) == []
