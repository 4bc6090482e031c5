"""Condition types and reasons: the whole vocabulary of a pool's status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CONDITIONS = {
    "Ready": "Every pod wanted is there, of the current revision, and its gateway takes requests.",
    "Progressing": "Pods are being made, replaced or removed.",
    "Degraded": "True while something the pool should have does not work.",
    "Stalled": "True while nothing goes on before somebody acts: the message says what.",
    "ModelReady": "At least one pod serves the model.",
    "ScalingActive": "An actuator scales the pool by a signal that is known.",
    "PredictorCalibrated": "The predictor runs as asked for in every pod, and its predictions hold.",
    "SchedulingDegraded": "True while another policy is in effect than the one asked for.",
    "BacklogSaturated": "True while more work waits than the pods there may be can take in good time.",
}
"""Type → meaning."""

REASONS = {
    "AllReplicasReady": "Ready, ModelReady: all is well.",
    "SomeReplicasReady": "ModelReady: some pods serve.",
    "Suspended": "`spec.suspend` is set.",
    "ScaledToZero": "`spec.replicas` is 0.",
    "Starting": "Pods are on their way; the message names what the first one waits for.",
    "RollingOut": "Pods of another revision are being replaced.",
    "ScalingOut": "More pods are on their way.",
    "ScalingIn": "Pods are finishing their requests before they go.",
    "Settled": "Progressing: nothing to do.",
    "WaitingForNode": "No node can take a pod: no free GPU, memory or matching label.",
    "ImagePullFailed": "An image cannot be pulled.",
    "ModelFetchFailed": "The init container that brings the model fails.",
    "DigestMismatch": "The model, or the predictor, is not what its digest says.",
    "ContainerCrashing": "A container ends again and again.",
    "EngineNotReady": "Triton or its model does not get ready.",
    "RolloutTimedOut": "The Deployment made no progress for its deadline.",
    "SpecRejected": "The API server refuses an object made from the spec.",
    "FieldConflict": "Another manager owns a field, and keeps it.",
    "FieldNotKept": "The API server, or a webhook, gives an object back otherwise than it was written.",
    "ObjectFailed": "A scaler or monitor cannot be written for now, or a webhook does not answer.",
    "NotAllowed": "The operator was installed without permission for what the spec asks.",
    "KindMissing": "A kind that the spec asks for is not installed.",
    "OperatorFailed": "The operator fails at the pool by a mistake of its own; its log has more.",
    "NoProblem": "Degraded, Stalled: nothing is wrong.",
    "SettingsRefused": "A gateway refuses the settings it was given.",
    "CertificateRefused": "A gateway refuses renewed certificates, or its certificate has expired.",
    "ScalingOff": "`scaling.actuator` is None.",
    "ActuatorMissing": "The chosen actuator is not installed.",
    "ActuatorFailing": "The chosen actuator is there and does not scale: its own words.",
    "SignalKnown": "ScalingActive: the signal can be had.",
    "SignalUnknown": "No gateway has told its load lately.",
    "PredictorOff": "`predictor.mode` is None.",
    "PredictorReady": "The predictor runs as asked for.",
    "PredictorStarting": "The predictor is not ready in some pod.",
    "DeviceFallback": "The predictor runs on another device than asked for.",
    "PredictorOffTarget": "Predicted intervals do not hold, or the predicted order is of no use.",
    "PredictorIncomplete": "The predictor does without something, for example its history.",
    "PolicyAsConfigured": "The policy asked for is in effect.",
    "PolicyFallback": "Another policy is in effect.",
    "WithinTarget": "BacklogSaturated: the backlog is as targeted.",
    "BacklogAboveTarget": "More predicted seconds wait per pod than targeted, with all pods there may be.",
    "NotKnown": "No gateway has reported yet.",
}
"""Reason → when it is given."""

SCALING_REASONS = {
    "Fixed": "Nobody scales: `spec.replicas` alone says how many.",
    "Suspended": "`spec.suspend` is set.",
    "ActuatorMissing": "The chosen actuator is not installed.",
    "ActuatorFailing": "The chosen actuator is there and does not scale.",
    "SignalUnknown": "The load is not known; the pods there are stay.",
    "AtMaxReplicas": "More pods are wanted than `scaling.maxReplicas`.",
    "PodsWarming": "Pods are on their way and credited with their share of the backlog.",
    "WaitTooLong": "A request has waited longer than `scaling.maxWaitSeconds`: a pod more is wanted.",
    "BacklogAboveTarget": "The predicted backlog wants more pods.",
    "WithinTarget": "The pods there are do.",
    "AtMinReplicas": "The pods there are do, and fewer are not allowed by `scaling.minReplicas`.",
}
"""Reason in `status.scaling` → when it is given."""

MOST_SAID = 1024
"""Characters of a message, at most: others' words are in it, and the schema has a bound."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        type: of `CONDITIONS`.
        status: True, False, or None for Unknown.
        reason: of `REASONS`.
        message: first cause, in words; holds nothing that changes by itself.
    """

    type: str
    status: bool | None
    reason: str
    message: str = ""

    def __post_init__(self) -> None:
        assert self.type in CONDITIONS, self.type
        assert self.reason in REASONS, self.reason


def merge(
    before: Iterable[Mapping[str, Any]], now_true: Iterable[Condition], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """Conditions as they are written: `lastTransitionTime` moves only with the status.

    Args:
        before: conditions as last written.
        now_true: as they are.
        generation: of the spec they speak of.
        now: RFC 3339.
    """
    old = {condition["type"]: condition for condition in before}
    result = []
    for condition in now_true:
        status = {True: "True", False: "False", None: "Unknown"}[condition.status]
        earlier = old.get(condition.type, {})
        since = earlier.get("lastTransitionTime", now) if earlier.get("status") == status else now
        result.append(
            {
                "type": condition.type,
                "status": status,
                "reason": condition.reason,
                "message": condition.message[:MOST_SAID],
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    return result
