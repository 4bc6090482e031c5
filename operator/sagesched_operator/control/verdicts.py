"""A pool's conditions, from what is there. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.deployment import wanted_pods
from sagesched_operator.build.desired import Desired
from sagesched_operator.conditions import Condition, merge
from sagesched_operator.control.observed import Counts, Observed
from sagesched_operator.control.reports import Summary
from sagesched_operator.control.scaling_status import obstacle
from sagesched_operator.control.signal import Signal


def conditions_of(
    pool: Pool, desired: Desired | None, observed: Observed, counts: Counts
) -> Iterator[Condition]:
    """All of them."""
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


def _going_on(pool: Pool, observed: Observed, counts: Counts) -> tuple[str, str] | None:
    """What is not settled yet, first cause first; None where all is as wanted."""
    wanted = wanted_pods(pool)
    if counts.is_current and counts.replicas == counts.updated == counts.available == wanted:
        return None
    waiting = [pod for pod in observed.here if not pod.is_ready]
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


def _degraded(observed: Observed, counts: Counts) -> Condition:
    if observed.troubles:
        return Condition("Degraded", True, *observed.troubles[0])
    if observed.summary.refused:
        return Condition("Degraded", True, "SettingsRefused", observed.summary.refused)
    if observed.summary.certificates:
        return Condition("Degraded", True, "CertificateRefused", observed.summary.certificates)
    if counts.is_stuck:
        cause = next((pod.message for pod in observed.here if pod.message), "no pod became ready")
        return Condition("Degraded", True, "RolloutTimedOut", f"no progress for 30 minutes: {cause}")
    if counts.failure:
        return Condition("Degraded", True, "NotAllowed", f"pods cannot be made: {counts.failure}")
    for pod in observed.here:
        if pod.reason in ("ContainerCrashing", "ImagePullFailed", "ModelFetchFailed", "DigestMismatch"):
            return Condition("Degraded", True, pod.reason, pod.message)
    return _fine("Degraded")


def _model_ready(pool: Pool, observed: Observed, counts: Counts) -> Condition:
    if counts.ready:
        everywhere = counts.ready >= wanted_pods(pool)
        return Condition("ModelReady", True, "AllReplicasReady" if everywhere else "SomeReplicasReady")
    if pool.spec.suspend:
        return Condition("ModelReady", False, "Suspended", _READY["Suspended"])
    if not pool.spec.replicas:
        return Condition("ModelReady", False, "ScaledToZero", _READY["ScaledToZero"])
    cause = next((pod for pod in observed.here if pod.reason not in ("", "Starting")), None)
    if cause is not None:
        return Condition("ModelReady", False, cause.reason, cause.message)
    if observed.summary.not_ready:
        return Condition("ModelReady", False, "EngineNotReady", observed.summary.not_ready)
    return Condition("ModelReady", False, "Starting", "no pod is ready yet")


def _scaling_active(pool: Pool, desired: Desired | None, observed: Observed) -> Condition:
    if pool.spec.scaling.actuator == "None":
        return Condition("ScalingActive", False, "ScalingOff")
    if pool.spec.suspend:
        return Condition("ScalingActive", False, "Suspended", _READY["Suspended"])
    in_the_way = obstacle(pool, desired, observed)
    if in_the_way is not None:
        return Condition("ScalingActive", False, *in_the_way)
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
    status: Mapping[str, Any], generation: int, stalled: tuple[str, str], now: str
) -> list[dict[str, Any]]:
    """Conditions of a pool that nothing can be told of but (reason, message) of why."""
    told = [
        Condition("Ready", False, *stalled),
        Condition("Progressing", False, *stalled),
        _fine("Degraded"),
        Condition("Stalled", True, *stalled),
    ]
    return merge(status.get("conditions", ()), told, generation=generation, now=now)
