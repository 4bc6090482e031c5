"""Statuses that a pool may have, and what Argo CD and Flux shall make of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from lupa import lua51

from sagesched_operator.conditions import Condition, merge

HEALTH_SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "argocd" / "health.lua"
"""By which Argo CD judges a pool."""

_NOW = "2026-01-01T00:00:00Z"
_NO_GPU = (
    "pods are starting: no node can take the pod: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
)
_REFUSED = "admission webhook denied the request"
_PULL = "gateway: Back-off pulling image"


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


def _is_ready(reason: str = "AllReplicasReady") -> tuple[Condition, ...]:
    return Condition("Ready", True, reason), Condition("Progressing", False, "Settled")


def _is_not_ready(reason: str, message: str) -> tuple[Condition, ...]:
    return Condition("Ready", False, reason, message), Condition("Progressing", True, reason, message)


def _is_stalled(reason: str, message: str) -> tuple[Condition, ...]:
    return tuple(
        Condition(type_, type_ == "Stalled", reason, message) for type_ in ("Ready", "Progressing", "Stalled")
    )


CASES = {
    "not taken up yet": Case(("Progressing", "not taken the pool up"), "InProgress", None),
    "an older generation": Case(
        ("Progressing", "not seen this change"), "InProgress", _is_ready(), is_old=True
    ),
    "starting": Case(
        ("Progressing", "Starting"), "InProgress", _is_not_ready("Starting", "pods are starting")
    ),
    "waiting for a GPU": Case(
        ("Progressing", "Insufficient nvidia.com/gpu"), "InProgress", _is_not_ready("WaitingForNode", _NO_GPU)
    ),
    "ready": Case(("Healthy", "AllReplicasReady"), "Current", _is_ready()),
    "rolling out": Case(
        ("Progressing", "RollingOut"), "InProgress", _is_not_ready("RollingOut", "pods are being replaced")
    ),
    "suspended": Case(("Suspended", "Suspended"), "Current", _is_ready("Suspended"), {"suspend": True}),
    "scaled to zero": Case(
        ("Healthy", "ScaledToZero"), "Current", _is_ready("ScaledToZero"), {"replicas": 0}
    ),
    "refused by the API server": Case(
        ("Degraded", "SpecRejected: " + _REFUSED), "Failed", _is_stalled("SpecRejected", _REFUSED)
    ),
    "not allowed": Case(
        ("Degraded", "hostPath"), "Failed", _is_stalled("NotAllowed", "hostPath is not allowed")
    ),
    "an image cannot be pulled": Case(
        ("Degraded", _PULL),
        "InProgress",
        (*_is_not_ready("ImagePullFailed", _PULL), Condition("Degraded", True, "ImagePullFailed", _PULL)),
    ),
    "a rollout that got stuck": Case(
        ("Degraded", "no progress"),
        "InProgress",
        (
            *_is_not_ready("RollingOut", "pods are being replaced"),
            Condition("Degraded", True, "RolloutTimedOut", "no progress for 30 minutes"),
        ),
    ),
    "serves by another policy": Case(
        ("Healthy", "PolicyFallback: policy fcfs"),
        "Current",
        (
            *_is_ready(),
            Condition("SchedulingDegraded", True, "PolicyFallback", "policy fcfs: order no longer helps"),
        ),
    ),
    "serves more than it can": Case(
        ("Healthy", "BacklogAboveTarget"),
        "Current",
        (*_is_ready(), Condition("BacklogSaturated", True, "BacklogAboveTarget", "more than 10 s wait")),
    ),
}


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
    for name, case in CASES.items():
        if case.conditions is not None:
            conditions = merge((), case.conditions, generation=1, now=_NOW)
            status = json.dumps({"status": {"observedGeneration": 1, "conditions": conditions}})
            kubectl(*patch, status, names[name], "--subresource=status")
        if case.is_old:
            kubectl(*patch, json.dumps({"spec": {"rollout": {"maxSurge": 2}}}), names[name])
    items = json.loads(kubectl("get", "llmsp", "-n", namespace, "-o", "json"))["items"]
    found = {item["metadata"]["name"]: item for item in items}
    return {case: found[name] for case, name in names.items()}


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
