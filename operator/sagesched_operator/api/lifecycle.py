"""`spec.scaling`, `spec.drain`, `spec.rollout`, `spec.disruption`: how pods come and go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sagesched_operator.api import kubernetes_parts as parts
from sagesched_operator.api.fields import JsonObject, Rule, prop

ACTUATORS = ("None", "HPA", "KEDA")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSpec:
    """Scaling by predicted work. Scalers act on the pool's scale subresource."""

    actuator: str = prop(
        "Who scales: nobody, a HorizontalPodAutoscaler on the operator's metric, or KEDA by the operator's "
        "external scaler. Never guessed from what is installed.",
        default="None",
        enum=ACTUATORS,
    )
    min_replicas: int = prop("Fewest pods.", default=1, minimum=1, maximum=1000)
    max_replicas: int | None = prop("Most pods.", default=None, minimum=1, maximum=1000)
    target_backlog_seconds: int = prop(
        "Predicted seconds until all that waits in a pod has started, that are still fine.",
        default=10,
        minimum=1,
        maximum=3600,
    )
    quantile: float = prop(
        "Which quantile of the predicted seconds counts: a higher one scales out earlier.",
        default=0.8,
        minimum=0.5,
        maximum=0.95,
        # The API server compares whole numbers with the bound's whole part.
        rules=(Rule("self >= 0.5 && self <= 0.95", "must be from 0.5 to 0.95"),),
    )
    max_wait_seconds: int = prop(
        "A pod more while the oldest request has waited longer and no pod is on its way.",
        default=60,
        minimum=1,
        maximum=86400,
    )
    behavior: JsonObject = prop(
        "Pace of scaling, as a HorizontalPodAutoscaler has it.", factory=dict, raw=parts.HPA_BEHAVIOR
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.actuator == 'None' || has(self.maxReplicas)",
            "an actuator needs maxReplicas",
        ),
        Rule(
            "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas must not be above maxReplicas",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSpec:
    """The end of a pod."""

    max_seconds: int = prop(
        "Longest time for the requests that a pod has when it is told to go; the pod's grace period "
        "follows from it.",
        default=300,
        minimum=30,
        maximum=3600,
    )
    quantile: float | None = prop(
        "Give a pod no more time than what it has in the engine needs with this probability, as predicted "
        "when it is told to go; what waits and cannot be done by then is refused at once, for other pods. "
        "All of `maxSeconds` where it is not given. Changes apply at once.",
        default=None,
        minimum=0.5,
        maximum=1,
        # The API server compares whole numbers with the bound's whole part.
        rules=(Rule("self >= 0.5 && self <= 1.0", "must be from 0.5 to 1"),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """A changed pod."""

    max_surge: int | str = prop("Pods beyond `replicas` while rolling.", default=1, raw=parts.INT_OR_PERCENT)
    max_unavailable: int | str = prop(
        "Pods that may be missing while rolling. On a cluster without a free GPU: `maxSurge: 0`, "
        "`maxUnavailable: 1`.",
        default=0,
        raw=parts.INT_OR_PERCENT,
    )
    revision_history: int = prop(
        "Past revisions kept, as ControllerRevisions and ReplicaSets.", default=5, minimum=1, maximum=50
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!((self.maxSurge == 0 || self.maxSurge == '0%') && "
            "(self.maxUnavailable == 0 || self.maxUnavailable == '0%'))",
            "maxSurge and maxUnavailable must not both be 0: no pod could ever be replaced",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionSpec:
    """How many pods node drains and evictions may take at once."""

    min_available: int | str | None = prop("Pods that must stay.", default=None, raw=parts.INT_OR_PERCENT)
    max_unavailable: int | str | None = prop(
        "Pods that may be missing; 1 where neither is given.", default=None, raw=parts.INT_OR_PERCENT
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.minAvailable) && has(self.maxUnavailable))",
            "give minAvailable or maxUnavailable, not both",
        ),
    )
