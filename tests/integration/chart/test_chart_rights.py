"""The operator with exactly the rights that the chart gives it in namespaced mode.

It lives through all that it may do; then the audit log is compared with its roles: no right is missing,
none is unused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.control_plane import ControlPlane

sys.path.insert(0, str(Path(__file__).parent))
from chart_operator import OperatorProcess, until

CHART = Path(__file__).parents[3] / "charts" / "sagesched"
HOME, TEAM = "rights-home", "rights-team"

Right = tuple[str, str, str]

FULL: dict[str, Any] = {
    "model": {"name": "m", "source": {"pvc": {"claimName": "models"}}},
    "runtime": {"image": "example.com/triton:1"},
    "resources": {"limits": {"nvidia.com/gpu": "1"}},
    "replicas": 2,
    "scaling": {"actuator": "KEDA", "maxReplicas": 4},
    "predictor": {"device": "GPU"},
    "rollout": {"revisionHistory": 1},
    "expose": {"inferencePool": {"endpointPicker": {"name": "picker"}}},
}

OPTIONAL = ("networkpolicy", "podmonitor", "prometheusrule", "scaledobject", "inferencepool")


@pytest.fixture(scope="module")
def cluster(chart_cluster: ControlPlane) -> Iterator[ControlPlane]:
    """The chart installed to look after one namespace."""
    run = chart_cluster
    run.kubectl("create", "namespace", TEAM)
    run.run("helm", "uninstall", "sagesched", "-n", HOME, "--ignore-not-found")
    run.kubectl("delete", "crd", "llmservingpools.serving.sagesched.io", "--ignore-not-found")
    done = run.run(
        *("helm", "install", "sagesched", str(CHART), "-n", HOME, "--create-namespace"),
        *("--set", f"watchNamespaces={{{TEAM}}}", "--set", "crds.keep=false"),
    )
    assert done.returncode == 0, done.stderr
    run.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    yield run
    run.run("helm", "uninstall", "sagesched", "-n", HOME)


class Team:
    """What a team does in its namespace."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster

    def apply(self, spec: dict[str, Any]) -> None:
        body = {
            "apiVersion": "serving.sagesched.io/v1alpha1",
            "kind": "LLMServingPool",
            "metadata": {"name": "full", "namespace": TEAM},
            "spec": spec,
        }
        self._cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def names(self, kind: str) -> list[str]:
        return [item["metadata"]["name"] for item in self._cluster.get(kind, "-n", TEAM)["items"]]

    def has(self, kind: str) -> bool:
        return any(name.startswith("full") for name in self.names(kind))

    def pods(self) -> list[dict[str, Any]]:
        pods = self._cluster.get("pod", "-n", TEAM)["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def make_ready(self, pod: dict[str, Any]) -> None:
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        status = {"status": {"phase": "Running", "conditions": [ready]}}
        name = pod["metadata"]["name"]
        self._cluster.kubectl(
            "patch", "pod", name, "-n", TEAM, "--subresource=status", "-p", json.dumps(status)
        )

    def revisions(self) -> int:
        return len([name for name in self.names("controllerrevision") if name.startswith("full")])


def live_through_everything(cluster: ControlPlane) -> None:
    team = Team(cluster)
    team.apply(FULL)
    for kind in (
        *OPTIONAL,
        "resourceclaimtemplate",
        "deployment",
        "service",
        "poddisruptionbudget",
        "sa",
        "cm",
    ):
        until(lambda kind=kind: team.has(kind), f"a {kind}")

    cluster.kubectl("delete", "configmap", "-n", TEAM, "-l", "serving.sagesched.io/pool=full")
    until(lambda: team.has("cm"), "the ConfigMap again")
    until(lambda: len(team.pods()) == 2, "two pods")
    for pod in team.pods():
        team.make_ready(pod)
    team.apply(FULL | {"replicas": 1})
    until(lambda: len(team.pods()) == 1, "one pod")

    for tag in ("2", "3", "4"):
        team.apply(FULL | {"replicas": 1, "runtime": {"image": f"example.com/triton:{tag}"}})
        until(
            lambda tag=tag: f"triton:{tag}" in json.dumps(cluster.get("deployment", "full", "-n", TEAM)),
            "rollout",
        )
    until(lambda: team.revisions() == 2, "old revisions removed")

    bare = FULL | {
        "replicas": 0,
        "scaling": {"actuator": "HPA", "maxReplicas": 4},
        "predictor": {"device": "CPU"},
        "expose": {},
        "security": {"networkPolicy": "Open"},
        "observability": {"monitor": "None", "rules": False},
    }
    team.apply(bare)
    for kind in (*OPTIONAL, "resourceclaimtemplate"):
        until(lambda kind=kind: not team.has(kind), f"no {kind}")
    until(lambda: team.has("hpa"), "an HPA")
    team.apply(bare | {"scaling": {"actuator": "None"}})
    until(lambda: not team.has("hpa"), "no HPA")
    until(lambda: team.has("event"), "an event")


def used_rights(cluster: ControlPlane, account: str) -> set[Right]:
    """What the operator was allowed and did. A new object made by apply took `create` besides `patch`."""
    used = set()
    for request in cluster.requests(account):
        if request.resource:
            used.add((request.group, request.resource, request.verb))
            if request.verb == "patch" and request.code == 201:
                used.add((request.group, request.resource, "create"))
    return used


def granted_rights(cluster: ControlPlane) -> set[Right]:
    roles = [item for namespace in (HOME, TEAM) for item in cluster.get("role", "-n", namespace)["items"]]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_no_right_is_missing_and_none_is_unused(cluster: ControlPlane, tmp_path: Path) -> None:
    log = tmp_path / "operator.log"
    with OperatorProcess(cluster, HOME, log) as operator:
        live_through_everything(cluster)
        refused = [each for each in cluster.requests(operator.account) if each.code == 403]
        assert refused == [], log.read_text()
        assert used_rights(cluster, operator.account) == granted_rights(cluster)
        cluster.kubectl("delete", "llmsp", "full", "-n", TEAM)
