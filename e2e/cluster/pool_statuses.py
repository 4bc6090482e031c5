"""What there may be of a pool, and what Argo CD and Flux shall make of the status that it then has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from lupa import lua51

from sagesched_gateway.status import EngineStatus, GatewayStatus, QueueStatus
from sagesched_operator.api.pool import parse_pool
from sagesched_operator.build.desired import build
from sagesched_operator.build.surroundings import Capabilities, Installation
from sagesched_operator.control.observed import observe
from sagesched_operator.control.pods import view
from sagesched_operator.control.reports import Report
from sagesched_operator.control.status import compute_status

HEALTH_SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "argocd" / "health.lua"
"""By which Argo CD judges a pool."""

_NOW = "2026-01-01T00:00:00Z"
_NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
_REFUSED = 'Deployment.apps "llama" is invalid: spec.template.spec.affinity: Required value'
_BUSY = QueueStatus(queued=500, backlog_s=600.0, backlog_p50_s=500.0, backlog_p90_s=700.0)
_UNSCHEDULED = {"conditions": [{"type": "PodScheduled", "status": "False", "message": _NO_GPU}]}
_PULLING = {
    "containerStatuses": [
        {"name": "gateway", "image": "r.io/gateway", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    ]
}
_READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def _working(**about: Any) -> GatewayStatus:
    policy = {"policy": "gittins-boost", "configured_policy": "gittins-boost"}
    return GatewayStatus(**{"ready": True, "engine": EngineStatus(slots=64), **policy, **about})


@dataclass(frozen=True)
class Case:
    """What there is of a pool, and what shall be made of the status that the operator writes of it.

    Attributes:
        argo: Argo CD's health and a part of its message.
        flux: kstatus' verdict.
        spec: fields that matter.
        deployment: the counts in its status; None where there is no Deployment.
        deployment_conditions: in its status.
        pods: each one's status.
        gateways: what each pod's gateway reports.
        refused: what the API server said of a child.
        is_taken_up: the operator has written a status.
        is_old: the status speaks of an earlier generation.
    """

    argo: tuple[str, str]
    flux: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    deployment: Mapping[str, int] | None = None
    deployment_conditions: Sequence[Mapping[str, str]] = ()
    pods: Sequence[Mapping[str, Any]] = ()
    gateways: Sequence[GatewayStatus] = ()
    refused: str = ""
    is_taken_up: bool = True
    is_old: bool = False


def _serving(argo: tuple[str, str], flux: str = "Current", **about: Any) -> Case:
    """One pod that is ready."""
    counts = {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    return Case(argo, flux, **{"deployment": counts, "pods": (_READY,), "gateways": (_working(),), **about})


def _waiting(argo: tuple[str, str], *pods: Mapping[str, Any], **about: Any) -> Case:
    """One pod that is not."""
    counts = {"replicas": 1, "updatedReplicas": 1}
    return Case(argo, "InProgress", **{"deployment": counts, "pods": pods, **about})


_ROLLING = {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 0, "availableReplicas": 1}
_STUCK = ({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},)
_HOST_PATH = {"name": "m", "source": {"hostPath": {"path": "/data"}}}

CASES = {
    "not taken up yet": Case(("Progressing", "not taken the pool up"), "InProgress", is_taken_up=False),
    "an older generation": _serving(("Progressing", "not seen this change"), "InProgress", is_old=True),
    "starting": _waiting(("Progressing", "Starting: pods are starting"), {}),
    "waiting for a GPU": _waiting(("Progressing", "WaitingForNode: waiting for a GPU"), _UNSCHEDULED),
    "an engine that is not ready": _waiting(
        ("Progressing", "EngineNotReady: Triton is not ready"),
        {},
        gateways=(_working(ready=False, reason="Triton is not ready yet"),),
    ),
    "ready": _serving(("Healthy", "AllReplicasReady")),
    "rolling out": _serving(("Progressing", "RollingOut"), "InProgress", deployment=_ROLLING),
    "suspended": Case(("Suspended", "Suspended"), "Current", {"suspend": True}, deployment={}),
    "scaled to zero": Case(("Healthy", "ScaledToZero"), "Current", {"replicas": 0}, deployment={}),
    "refused by the API server": Case(("Degraded", "SpecRejected: " + _REFUSED), "Failed", refused=_REFUSED),
    "not allowed": Case(("Degraded", "hostPath is not allowed"), "Failed", {"model": _HOST_PATH}),
    "an image cannot be pulled": _waiting(("Degraded", "image r.io/gateway of gateway"), _PULLING),
    "a rollout that got stuck": _serving(
        ("Degraded", "no progress for 30 minutes"),
        "InProgress",
        deployment=_ROLLING,
        deployment_conditions=_STUCK,
    ),
    "serves by another policy": _serving(
        ("Healthy", "PolicyFallback: policy fcfs"),
        gateways=(_working(policy="fcfs", policy_reason="order no longer helps"),),
    ),
    "serves more than it can": _serving(
        ("Healthy", "BacklogAboveTarget: more than 10 s"), gateways=(_working(queue=_BUSY),)
    ),
}


def status_of(body: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """What the operator writes of a pool, by its own code, where there is what the case says."""
    pool, installation = parse_pool(body), Installation()
    desired = build(pool, installation, Capabilities())
    pods = [
        view({"metadata": {"name": str(number), "uid": str(number)}, "status": status})
        for number, status in enumerate(case.pods)
    ]
    reports = {pod.uid: Report(status, 0.0) for pod, status in zip(pods, case.gateways, strict=False)}
    deployment = None
    if case.deployment is not None:
        told = {"observedGeneration": 1, **case.deployment, "conditions": case.deployment_conditions}
        deployment = {"metadata": {"generation": 1}, "status": told}
    stalled = ("SpecRejected", case.refused) if case.refused else None
    if desired.forbidden:
        stalled = ("NotAllowed", desired.forbidden)
    observed = observe(pool, pods, reports, 0.0, deployment=deployment, stalled=stalled)
    return compute_status(pool, desired, observed, installation, now=_NOW)


Kubectl = Callable[..., str]
"""Runs kubectl: arguments as on a command line, `stdin` for `-f -`; returns what it prints."""


def write_pools(kubectl: Kubectl, namespace: str) -> dict[str, dict[str, Any]]:
    """Make a pool for each case, with its status; no operator may see them.

    Returns:
        Name of the case → the pool as the API server gives it back: none has what a pool cannot have.
    """
    names = {case: case.lower().replace(" ", "-") for case in CASES}
    bodies = [_pool(names[name], namespace, case.spec) for name, case in CASES.items()]
    kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(bodies))
    patch = ("-n", namespace, "patch", "llmsp", "--type=merge", "-p")
    made = _pools(kubectl, namespace)
    for name, case in CASES.items():
        if case.is_taken_up:
            status = json.dumps({"status": status_of(made[names[name]], case)})
            kubectl(*patch, status, names[name], "--subresource=status")
        if case.is_old:
            kubectl(*patch, json.dumps({"spec": {"rollout": {"maxSurge": 2}}}), names[name])
    found = _pools(kubectl, namespace)
    return {case: found[name] for case, name in names.items()}


def _pools(kubectl: Kubectl, namespace: str) -> dict[str, dict[str, Any]]:
    items = json.loads(kubectl("get", "llmsp", "-n", namespace, "-o", "json"))["items"]
    return {item["metadata"]["name"]: item for item in items}


def _pool(name: str, namespace: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    smallest = {"model": {"name": "m", "source": {"pvc": {"claimName": "c"}}}, "runtime": {"image": "i"}}
    return {
        "apiVersion": "serving.sagesched.io/v1alpha1",
        "kind": "LLMServingPool",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**smallest, **spec},
    }


def health_in_lua(script: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """Health and message by a script, run as Argo CD does: Lua 5.1 without files and processes."""
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
