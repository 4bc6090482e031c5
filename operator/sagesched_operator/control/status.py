"""What is written as a pool's status, from what is there. Pure; `now` is passed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.deployment import wanted_pods
from sagesched_operator.build.desired import Desired
from sagesched_operator.build.images import gateway_image
from sagesched_operator.build.service import address_of
from sagesched_operator.build.settings import settings_digest
from sagesched_operator.build.shutdown import grace_seconds
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.conditions import Condition, merge
from sagesched_operator.control.pods import PodView
from sagesched_operator.control.reports import Summary
from sagesched_operator.control.signal import Signal
from sagesched_operator.names import selector_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is there.

    Attributes:
        deployment: the live object, or None.
        pods: of the pool.
        summary: of their gateways' reports.
        signal: for scaling, or why it is not known.
        scaler: the live HorizontalPodAutoscaler or ScaledObject, or None.
        stalled: (reason, message): nothing goes on before somebody acts.
        troubles: (reason, message) of children that cannot be had as wanted.
    """

    deployment: Mapping[str, Any] | None = None
    pods: Sequence[PodView] = ()
    summary: Summary = field(default_factory=Summary)
    signal: Signal | str = ""
    scaler: Mapping[str, Any] | None = None
    stalled: tuple[str, str] | None = None
    troubles: Sequence[tuple[str, str]] = ()


def compute(
    pool: Pool, desired: Desired | None, observed: Observed, installation: Installation, *, now: str
) -> dict[str, Any]:
    """The whole status.

    Args:
        pool: with the status as last written.
        desired: what the pool should have; None where that could not be told.
        observed: what is there.
        installation: the operator's.
        now: RFC 3339, for conditions that change.
    """
    counts = _counts(observed.deployment)
    summary = observed.summary
    status: dict[str, Any] = {
        "observedGeneration": pool.generation,
        "replicas": counts.replicas,
        "readyReplicas": counts.ready,
        "updatedReplicas": counts.updated,
        "selector": ",".join(f"{key}={value}" for key, value in selector_of(pool).items()),
        "policyInEffect": summary.policy or "unknown",
        "address": address_of(pool),
        "scaling": {
            "desiredReplicas": wanted_pods(pool),
            "reason": "Suspended" if pool.spec.suspend else _SCALING[pool.spec.scaling.actuator],
        },
        "conditions": merge(
            pool.status.get("conditions", ()),
            _conditions(pool, desired, observed, counts),
            generation=pool.generation,
            now=now,
        ),
    }
    if summary.num_reporting:
        status["predictor"] = {"mode": summary.predictor_mode, "history": summary.history}
        if summary.provider:
            status["predictor"]["provider"] = summary.provider
    if desired is not None:
        status["revision"] = desired.revision
        if summary.digests:
            num_ready = sum(pod.is_ready and not pod.is_ending for pod in observed.pods)
            status["settingsInEffect"] = (
                summary.digests == {settings_digest(desired.settings)} and summary.num_reporting == num_ready
            )
        status["effective"] = {
            "gatewayImage": gateway_image(pool, installation),
            "gracePeriodSeconds": grace_seconds(pool),
            "gpuSharing": desired.sharing,
        }
    return status


_SCALING = {"None": "Fixed", "HPA": "HPA", "KEDA": "KEDA"}


@dataclass(frozen=True, slots=True)
class _Counts:
    """The Deployment's own counts; all 0 while it has not looked at its spec."""

    is_current: bool = False
    replicas: int = 0
    ready: int = 0
    updated: int = 0
    available: int = 0
    is_stuck: bool = False
    failure: str = ""


def _counts(deployment: Mapping[str, Any] | None) -> _Counts:
    if deployment is None:
        return _Counts()
    status = deployment.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    return _Counts(
        is_current=status.get("observedGeneration") == deployment["metadata"].get("generation"),
        replicas=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        is_stuck=conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded",
        failure=conditions.get("ReplicaFailure", {}).get("message", ""),
    )


def _conditions(
    pool: Pool, desired: Desired | None, observed: Observed, counts: _Counts
) -> Iterator[Condition]:
    going_on = _going_on(pool, observed, counts)
    if observed.stalled is not None:
        yield Condition("Ready", False, *observed.stalled)
        yield Condition("Progressing", False, *observed.stalled)
    elif going_on is None:
        reason = (
            "Suspended"
            if pool.spec.suspend
            else ("AllReplicasReady" if pool.spec.replicas else "ScaledToZero")
        )
        yield Condition("Ready", True, reason, _READY[reason])
        yield Condition("Progressing", False, "Settled")
    else:
        yield Condition("Ready", False, *going_on)
        yield Condition("Progressing", True, *going_on)
    yield _degraded(observed, counts)
    yield Condition("Stalled", True, *observed.stalled) if observed.stalled else _fine("Stalled")
    yield _model_ready(pool, observed, counts)
    yield _scaling_active(pool, desired, observed)
    yield _predictor_calibrated(pool, observed.summary)
    yield _scheduling_degraded(observed.summary)
    yield _backlog_saturated(pool, observed.signal)


_READY = {
    "AllReplicasReady": "every pod is there and takes requests",
    "Suspended": "no pods, by spec.suspend",
    "ScaledToZero": "no pods, by spec.replicas",
}


def _fine(type_: str) -> Condition:
    return Condition(type_, False, "NoProblem")


def _going_on(pool: Pool, observed: Observed, counts: _Counts) -> tuple[str, str] | None:
    """What is not settled yet, first cause first; None where all is as wanted."""
    wanted = wanted_pods(pool)
    if counts.is_current and counts.replicas == counts.updated == counts.available == wanted:
        return None
    waiting = [pod for pod in observed.pods if not pod.is_ready and not pod.is_ending]
    if counts.failure:
        return "NotAllowed", f"pods cannot be made: {counts.failure}"
    if counts.replicas > counts.updated and counts.updated < wanted:
        what = ("RollingOut", "pods of another revision are being replaced")
    elif counts.replicas > wanted:
        return "ScalingIn", "pods are finishing their requests before they go"
    elif 0 < counts.available < wanted:
        what = ("ScalingOut", "more pods are on their way")
    else:
        what = ("Starting", "pods are starting")
    first = next((pod for pod in waiting if pod.reason != "Starting"), waiting[0] if waiting else None)
    if first is None:
        return what
    if first.reason != "Starting":
        return first.reason, first.message
    if observed.summary.not_ready:
        return "EngineNotReady", observed.summary.not_ready
    return what[0], f"{what[1]}: {first.message}" if first.message != what[1] else what[1]


def _degraded(observed: Observed, counts: _Counts) -> Condition:
    if observed.troubles:
        return Condition("Degraded", True, *observed.troubles[0])
    if observed.summary.refused:
        return Condition("Degraded", True, "SettingsRefused", observed.summary.refused)
    if observed.summary.certificates:
        return Condition("Degraded", True, "CertificateRefused", observed.summary.certificates)
    if counts.is_stuck:
        cause = next((pod.message for pod in observed.pods if pod.message), "no pod became ready")
        return Condition("Degraded", True, "RolloutTimedOut", f"no progress for 30 minutes: {cause}")
    if counts.failure:
        return Condition("Degraded", True, "NotAllowed", f"pods cannot be made: {counts.failure}")
    for pod in observed.pods:
        if pod.reason in ("ContainerCrashing", "ImagePullFailed", "ModelFetchFailed", "DigestMismatch"):
            return Condition("Degraded", True, pod.reason, pod.message)
    return _fine("Degraded")


def _model_ready(pool: Pool, observed: Observed, counts: _Counts) -> Condition:
    if counts.ready:
        everywhere = counts.ready >= wanted_pods(pool)
        return Condition("ModelReady", True, "AllReplicasReady" if everywhere else "SomeReplicasReady")
    if pool.spec.suspend:
        return Condition("ModelReady", False, "Suspended", _READY["Suspended"])
    if not pool.spec.replicas:
        return Condition("ModelReady", False, "ScaledToZero", _READY["ScaledToZero"])
    cause = next((pod for pod in observed.pods if pod.reason not in ("", "Starting")), None)
    if cause is not None:
        return Condition("ModelReady", False, cause.reason, cause.message)
    if observed.summary.not_ready:
        return Condition("ModelReady", False, "EngineNotReady", observed.summary.not_ready)
    return Condition("ModelReady", False, "Starting", "no pod is ready yet")


_SCALER_WORKS = ("ScalingActive", "AbleToScale", "Ready")
"""Conditions of a HorizontalPodAutoscaler and of a ScaledObject."""


def _scaling_active(pool: Pool, desired: Desired | None, observed: Observed) -> Condition:
    if pool.spec.scaling.actuator == "None":
        return Condition("ScalingActive", False, "ScalingOff")
    if pool.spec.suspend:
        return Condition("ScalingActive", False, "Suspended", _READY["Suspended"])
    for kind, asked_by in desired.missing if desired else ():
        if asked_by.startswith("scaling."):
            return Condition("ScalingActive", False, "ActuatorMissing", f"{kind} is not installed")
    if isinstance(observed.signal, str):
        return Condition("ScalingActive", False, "SignalUnknown", observed.signal)
    for condition in (observed.scaler or {}).get("status", {}).get("conditions", ()):
        if condition["type"] in _SCALER_WORKS and condition["status"] == "False":
            return Condition("ScalingActive", False, "ActuatorFailing", condition.get("message", ""))
    return Condition("ScalingActive", True, "SignalKnown")


def _predictor_calibrated(pool: Pool, summary: Summary) -> Condition:
    if pool.spec.predictor.mode == "None":
        return Condition("PredictorCalibrated", None, "PredictorOff")
    if not summary.num_reporting:
        return Condition("PredictorCalibrated", None, "NotKnown", "no gateway has reported yet")
    if summary.predictor_trouble[0]:
        return Condition("PredictorCalibrated", False, *summary.predictor_trouble)
    return Condition("PredictorCalibrated", True, "PredictorReady")


def _scheduling_degraded(summary: Summary) -> Condition:
    if not summary.num_reporting:
        return Condition("SchedulingDegraded", None, "NotKnown", "no gateway has reported yet")
    if summary.fallback:
        return Condition("SchedulingDegraded", True, "PolicyFallback", summary.fallback)
    return Condition("SchedulingDegraded", False, "PolicyAsConfigured")


def _backlog_saturated(pool: Pool, signal: Signal | str) -> Condition:
    """With hysteresis: it ends only once the backlog is below half the target."""
    if isinstance(signal, str):
        return Condition("BacklogSaturated", None, "NotKnown", signal)
    scaling = pool.spec.scaling
    may_grow = scaling.actuator != "None" and pool.spec.replicas < (scaling.max_replicas or 0)
    was = any(
        condition["type"] == "BacklogSaturated" and condition["status"] == "True"
        for condition in pool.status.get("conditions", ())
    )
    bound_s = scaling.target_backlog_seconds * (0.5 if was else 1.0)
    if may_grow or signal.backlog_per_pod_s <= bound_s:
        return Condition("BacklogSaturated", False, "WithinTarget")
    return Condition(
        "BacklogSaturated",
        True,
        "BacklogAboveTarget",
        f"more than {scaling.target_backlog_seconds} s of predicted work wait for each pod",
    )


def stalled_conditions(
    status: Mapping[str, Any], generation: int, problem: str, now: str
) -> list[dict[str, Any]]:
    """Conditions of a pool whose spec cannot be read."""
    told = [
        Condition("Ready", False, "SpecRejected", problem),
        Condition("Progressing", False, "SpecRejected", problem),
        _fine("Degraded"),
        Condition("Stalled", True, "SpecRejected", problem),
    ]
    return merge(status.get("conditions", ()), told, generation=generation, now=now)
