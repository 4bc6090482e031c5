"""`status.scaling`: how many pods are wanted, and why so many, in words. Pure."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.deployment import wanted_pods
from sagesched_operator.build.desired import Desired
from sagesched_operator.conditions import MOST_SAID, SCALING_REASONS
from sagesched_operator.control.buckets import Buckets
from sagesched_operator.control.observed import Observed
from sagesched_operator.control.signal import Signal

BACKLOGS = Buckets((0.5, 1.0, 2.0), ("BelowHalf", "BelowTarget", "AboveTarget", "FarAbove"), slack=0.25)
"""Of the predicted backlog per pod as a share of the target."""

_IN_WORDS = {
    "BelowHalf": "below half of",
    "BelowTarget": "below",
    "AboveTarget": "above",
    "FarAbove": "more than twice",
}

_SCALER_WORKS = ("ScalingActive", "AbleToScale", "Ready")
"""Conditions of a HorizontalPodAutoscaler and of a ScaledObject."""


def scaling_status(pool: Pool, desired: Desired | None, observed: Observed) -> dict[str, Any]:
    """The section."""
    signal = observed.signal
    backlog = ""
    if isinstance(signal, Signal):
        before = pool.status.get("scaling", {}).get("backlog", "")
        backlog = BACKLOGS.of(signal.backlog_per_pod_s / pool.spec.scaling.target_backlog_seconds, before)
    reason, message = _why(pool, desired, observed, backlog)
    assert reason in SCALING_REASONS, reason
    section: dict[str, Any] = {
        "desiredReplicas": wanted_pods(pool),
        "reason": reason,
        "message": message[:MOST_SAID],
    }
    return section | ({"backlog": backlog} if backlog else {})


def obstacle(pool: Pool, desired: Desired | None, observed: Observed) -> tuple[str, str] | None:
    """(reason, message): why the actuator does not scale; None where nothing is known to be in its way."""
    for kind, asked_by in desired.missing if desired else ():
        if asked_by.startswith("scaling."):
            return "ActuatorMissing", f"{kind} is not installed"
    if isinstance(observed.signal, str):
        return "SignalUnknown", observed.signal
    for condition in (observed.scaler or {}).get("status", {}).get("conditions", ()):
        if condition["type"] in _SCALER_WORKS and condition["status"] == "False":
            return "ActuatorFailing", condition.get("message", "")
    return None


def load_steps(signal: Signal, target_s: float) -> tuple[int, bool, bool]:
    """Other values wherever the section, or the condition BacklogSaturated, could become another."""
    return (
        BACKLOGS.steps(signal.backlog_per_pod_s / target_s),
        signal.waits_too_long,
        signal.num_warming > 0,
    )


def _why(pool: Pool, desired: Desired | None, observed: Observed, backlog: str) -> tuple[str, str]:
    spec, signal = pool.spec.scaling, observed.signal
    if pool.spec.suspend:
        return "Suspended", "by spec.suspend"
    if spec.actuator == "None":
        return "Fixed", "by spec.replicas: scaling.actuator is None"
    in_the_way = obstacle(pool, desired, observed)
    if in_the_way is not None or isinstance(signal, str):
        reason, told = in_the_way or ("SignalUnknown", str(signal))
        return reason, f"{spec.actuator} keeps the pods there are: {told}"
    load = _load(spec.quantile, spec.target_backlog_seconds, backlog)
    wants_more = backlog in ("AboveTarget", "FarAbove")
    if signal.waits_too_long:
        wants_more, load = (
            True,
            f"the oldest request has waited longer than {spec.max_wait_seconds} s; {load}",
        )
    if wants_more and pool.spec.replicas >= (spec.max_replicas or 0):
        return "AtMaxReplicas", f"{load}; more pods than maxReplicas, {spec.max_replicas}, are not allowed"
    if signal.num_warming:
        return "PodsWarming", f"{load}; pods that are not ready yet are credited with their share of it"
    if wants_more:
        return "WaitTooLong" if signal.waits_too_long else "BacklogAboveTarget", load
    if pool.spec.replicas <= spec.min_replicas:
        return "AtMinReplicas", f"{load}; fewer pods than minReplicas, {spec.min_replicas}, are not allowed"
    return "WithinTarget", load


def _load(quantile: float, target_s: int, backlog: str) -> str:
    share = _IN_WORDS[backlog]
    return f"the predicted backlog per pod (p{quantile * 100:g}) is {share} the target of {target_s} s"
