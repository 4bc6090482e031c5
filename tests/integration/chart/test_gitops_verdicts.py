"""What Argo CD (by the health script) and Flux (by its own library) make of a pool's status.

Every status is written to a real API server first, so none of them is one that a pool cannot have.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from cluster.control_plane import ControlPlane
from cluster.schemas import conform
from cluster.tools import Tools
from sagesched_operator.conditions import Condition, merge

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
HEALTH = (EXAMPLES / "argocd" / "health.lua").read_text()
NOW = "2026-01-01T00:00:00Z"
NO_GPU = (
    "pods are starting: no node can take the pod: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
)
REFUSED = "admission webhook denied the request"
PULL = "gateway: Back-off pulling image"


@dataclass(frozen=True)
class Case:
    """A status and what shall be made of it.

    Attributes:
        argo: Argo CD's health and a part of its message.
        flux: kstatus' verdict.
        conditions: None where the operator has not written a status.
        spec: fields that matter.
        is_old: the status speaks of an earlier generation.
    """

    argo: tuple[str, str]
    flux: str
    conditions: tuple[Condition, ...] | None
    spec: Mapping[str, Any] = field(default_factory=dict)
    is_old: bool = False


def is_ready(reason: str = "AllReplicasReady") -> tuple[Condition, ...]:
    return Condition("Ready", True, reason), Condition("Progressing", False, "Settled")


def is_not_ready(reason: str, message: str) -> tuple[Condition, ...]:
    return Condition("Ready", False, reason, message), Condition("Progressing", True, reason, message)


def is_stalled(reason: str, message: str) -> tuple[Condition, ...]:
    return tuple(
        Condition(type_, type_ == "Stalled", reason, message) for type_ in ("Ready", "Progressing", "Stalled")
    )


CASES = {
    "not taken up yet": Case(("Progressing", "not taken the pool up"), "InProgress", None),
    "an older generation": Case(
        ("Progressing", "not seen this change"), "InProgress", is_ready(), is_old=True
    ),
    "starting": Case(
        ("Progressing", "Starting"), "InProgress", is_not_ready("Starting", "pods are starting")
    ),
    "waiting for a GPU": Case(
        ("Progressing", "Insufficient nvidia.com/gpu"), "InProgress", is_not_ready("WaitingForNode", NO_GPU)
    ),
    "ready": Case(("Healthy", "AllReplicasReady"), "Current", is_ready()),
    "rolling out": Case(
        ("Progressing", "RollingOut"), "InProgress", is_not_ready("RollingOut", "pods are being replaced")
    ),
    "suspended": Case(("Suspended", "Suspended"), "Current", is_ready("Suspended"), {"suspend": True}),
    "scaled to zero": Case(("Healthy", "ScaledToZero"), "Current", is_ready("ScaledToZero"), {"replicas": 0}),
    "refused by the API server": Case(
        ("Degraded", "SpecRejected: " + REFUSED), "Failed", is_stalled("SpecRejected", REFUSED)
    ),
    "not allowed": Case(
        ("Degraded", "hostPath"), "Failed", is_stalled("NotAllowed", "hostPath is not allowed")
    ),
    "an image cannot be pulled": Case(
        ("Degraded", PULL),
        "InProgress",
        (*is_not_ready("ImagePullFailed", PULL), Condition("Degraded", True, "ImagePullFailed", PULL)),
    ),
    "a rollout that got stuck": Case(
        ("Degraded", "no progress"),
        "InProgress",
        (
            *is_not_ready("RollingOut", "pods are being replaced"),
            Condition("Degraded", True, "RolloutTimedOut", "no progress for 30 minutes"),
        ),
    ),
    "serves by another policy": Case(
        ("Healthy", "PolicyFallback: policy fcfs"),
        "Current",
        (
            *is_ready(),
            Condition("SchedulingDegraded", True, "PolicyFallback", "policy fcfs: order no longer helps"),
        ),
    ),
    "serves more than it can": Case(
        ("Healthy", "BacklogAboveTarget"),
        "Current",
        (*is_ready(), Condition("BacklogSaturated", True, "BacklogAboveTarget", "more than 10 s wait")),
    ),
}


@pytest.fixture(scope="module")
def pools(chart_cluster: ControlPlane) -> dict[str, dict[str, Any]]:
    """By name of the case: the pools as the API server gives them back."""
    crd = ROOT / "crds" / "llmservingpools.yaml"
    chart_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crd))
    chart_cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    names = {case: case.lower().replace(" ", "-") for case in CASES}
    bodies = [_pool(names[name], case.spec) for name, case in CASES.items()]
    chart_cluster.kubectl("delete", "llmsp", "--all", "-n", "default")
    chart_cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(bodies))
    patch = ("patch", "llmsp", "--type=merge", "-p")
    for name, case in CASES.items():
        if case.conditions is not None:
            conditions = merge((), case.conditions, generation=1, now=NOW)
            status = json.dumps({"status": {"observedGeneration": 1, "conditions": conditions}})
            chart_cluster.kubectl(*patch, status, names[name], "--subresource=status")
        if case.is_old:
            change = json.dumps({"spec": {"rollout": {"maxSurge": 2}}})
            chart_cluster.kubectl(*patch, change, names[name])
    found = {item["metadata"]["name"]: item for item in chart_cluster.get("llmsp", "-n", "default")["items"]}
    return {case: found[name] for case, name in names.items()}


def _pool(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    smallest = {"model": {"name": "m", "source": {"pvc": {"claimName": "c"}}}, "runtime": {"image": "i"}}
    return {
        "apiVersion": "serving.sagesched.io/v1alpha1",
        "kind": "LLMServingPool",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {**smallest, **spec},
    }


@pytest.mark.parametrize("name", CASES)
def test_argo_cd(name: str, pools: dict[str, dict[str, Any]]) -> None:
    case = CASES[name]
    status, message = argo_health(HEALTH, pools[name])
    assert (status, case.argo[1] in message) == (case.argo[0], True), message


@pytest.mark.parametrize("name", CASES)
def test_flux(name: str, pools: dict[str, dict[str, Any]], cluster_tools: Tools) -> None:
    done = subprocess.run(
        [cluster_tools["kstatus"]], input=json.dumps(pools[name]), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["status"] == CASES[name].flux, done.stdout


def argo_health(script: str, body: dict[str, Any]) -> tuple[str, str]:
    """Run a health script as Argo CD does: Lua 5.1 without files, processes and loading of code."""
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    for name in ("os", "io", "debug", "package", "require", "dofile", "loadfile", "python"):
        lua.globals()[name] = None

    def to_lua(value: Any) -> Any:
        if isinstance(value, dict):
            return lua.table_from({key: to_lua(each) for key, each in value.items()})
        if isinstance(value, list):
            return lua.table_from([to_lua(each) for each in value])
        return value

    lua.globals().obj = to_lua(body)
    result = lua.execute(script)
    return result["status"], result["message"]


def test_the_config_map_for_argo_cd_holds_the_script() -> None:
    document = yaml.safe_load((EXAMPLES / "argocd" / "argocd-cm.yaml").read_text())
    key = "resource.customizations.health.serving.sagesched.io_LLMServingPool"
    assert document["data"] == {key: HEALTH}


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda file: file.name)
def test_every_example_fits_the_schemas_of_its_kinds(
    chart_cluster: ControlPlane, schemas: Path, file: Path
) -> None:
    assert conform(chart_cluster, schemas, file.read_text()) == []
