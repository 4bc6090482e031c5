"""What is there of a pool: the ground that its status is told on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.control.pods import PodView
from sagesched_operator.control.reports import Reports, Summary, summarize
from sagesched_operator.control.signal import Signal, SignalUnknownError, signal_of


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

    @property
    def here(self) -> list[PodView]:
        """Pods that are to stay; how one ends is no trouble of the pool's."""
        return [pod for pod in self.pods if not pod.is_ending]


def observe(pool: Pool, pods: Sequence[PodView], reports: Reports, now: float, **more: Any) -> Observed:
    """Put together.

    Args:
        pool: whose.
        pods: of the pool.
        reports: of their gateways.
        now: monotonic seconds, as reports have them.
        more: the other attributes of `Observed`, as they are.
    """
    signal: Signal | str
    try:
        signal = signal_of(pool.spec.scaling, pods, reports, now)
    except SignalUnknownError as error:
        signal = str(error)
    return Observed(pods=pods, summary=summarize(pods, reports), signal=signal, **more)


@dataclass(frozen=True, slots=True)
class Counts:
    """The Deployment's own counts; all 0 while it has not looked at its spec."""

    is_current: bool = False
    replicas: int = 0
    ready: int = 0
    updated: int = 0
    available: int = 0
    is_stuck: bool = False
    failure: str = ""


def counts_of(deployment: Mapping[str, Any] | None) -> Counts:
    """What the Deployment says of its pods."""
    if deployment is None:
        return Counts()
    status = deployment.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    return Counts(
        is_current=status.get("observedGeneration") == deployment["metadata"].get("generation"),
        replicas=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        is_stuck=conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded",
        failure=conditions.get("ReplicaFailure", {}).get("message", ""),
    )
