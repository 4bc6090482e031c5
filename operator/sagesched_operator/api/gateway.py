"""`spec.gateway`, `spec.scheduling`, `spec.predictor`: the sidecar and what it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sagesched_gateway.settings.config import (
    ADMIN_GROUPS,
    DEVICES,
    FULL_CODES,
    LOG_FORMATS,
    LOG_LEVELS,
    POLICIES,
    PREDICTOR_MODES,
    HistoryConfig,
    LimitsConfig,
    ListenConfig,
    OpenAIConfig,
    SchedulingConfig,
)
from sagesched_operator.api import kubernetes_parts as parts
from sagesched_operator.api.fields import IMAGE, Rule, prop

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayResources:
    """Resources of the gateway's container."""

    limits: Mapping[str, Any] = prop("Limits, as in a pod.", factory=dict, raw=parts.QUANTITIES)
    requests: Mapping[str, Any] = prop(
        "Requests, as in a pod.",
        factory=lambda: {"cpu": "500m", "memory": "768Mi"},
        raw=parts.QUANTITIES,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSpec:
    """Bounds of one gateway's queue; beyond them callers get a clear error. Changes apply at once."""

    requests: int = prop(
        "Requests waiting.", default=LimitsConfig().queued_requests, minimum=1, maximum=1_000_000
    )
    bytes: int = prop(
        "Their messages together, in bytes.",
        default=LimitsConfig().queued_bytes,
        minimum=1024,
        maximum=2**40,
        format="int64",
    )
    full_code: str = prop(
        "gRPC status of the refusal (HTTP: 503 or 429).", default=LimitsConfig().full_code, enum=FULL_CODES
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySpec:
    """The sidecar."""

    image: str | None = prop(
        "Its image; the operator's release names one.", default=None, pattern=IMAGE, max_length=512
    )
    resources: GatewayResources = prop("Its resources.", factory=GatewayResources)
    in_flight: str | int = prop(
        "Requests in the engine at once: `auto` takes the engine's own limit.",
        default=AUTO,
        raw={
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": "^auto$",
            "maxLength": 4,
            "x-kubernetes-validations": [
                {
                    "rule": "type(self) != int || (self >= 1 && self <= 65536)",
                    "message": "must be auto or a number from 1 to 65536",
                }
            ],
        },
    )
    queue: QueueSpec = prop("Bounds of the queue.", factory=QueueSpec)
    connection_age_seconds: int = prop(
        "Connections are told to reconnect after this time, so that clients find new pods; 0 for never.",
        default=int(ListenConfig().connection_age_s),
        minimum=0,
        maximum=86400,
    )
    trusted_networks: tuple[str, ...] = prop(
        "Networks (CIDR) whose callers may name tenant, priority and deadline of a request.",
        default=(),
        max_items=64,
        items={"max_length": 43, "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"},
        x_kubernetes_list_type="set",
    )
    expose_prediction: bool = prop(
        "Give the predicted quantiles of the answer's length to trusted callers.", default=False
    )
    admin_calls: tuple[str, ...] = prop(
        "Groups of Triton's management calls that callers may use through the gateway.",
        default=(),
        max_items=len(ADMIN_GROUPS),
        items={"enum": list(ADMIN_GROUPS)},
        x_kubernetes_list_type="set",
    )
    default_max_tokens: int = prop(
        "Cap on output tokens of OpenAI requests that name none.",
        default=OpenAIConfig().default_max_tokens,
        minimum=1,
        maximum=10_000_000,
    )
    log_level: str = prop("Of the gateway's log; applies at once.", default="info", enum=LOG_LEVELS)
    log_format: str = prop("Of the gateway's log.", default="JSON", enum=LOG_FORMATS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingSpec:
    """The order of waiting requests. Changes apply at once, without new pods."""

    policy: str = prop(
        "The order: by arrival (`fcfs`), by predicted length, or by the whole predicted distribution.",
        default=SchedulingConfig().policy,
        enum=POLICIES,
    )
    tail_weight: float = prop(
        "gittins-boost: small favours the mean, large the tail.",
        default=SchedulingConfig().tail_weight,
        minimum=0.001,
        maximum=1000,
    )
    age_guard: bool = prop("ssjf: serve by age while the oldest request has waited too long.", default=False)

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!self.ageGuard || self.policy == 'ssjf'",
            "ageGuard belongs to policy ssjf: remove it, or choose that policy",
        ),
        Rule(
            "self.tailWeight == 1.0 || self.policy == 'gittins-boost'",
            "tailWeight belongs to policy gittins-boost: remove it, or choose that policy",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySpec:
    """The predictor's memory of past prompts."""

    size: int = prop(
        "Records kept in each gateway; the oldest go first.",
        default=HistoryConfig().size,
        minimum=1,
        maximum=1_000_000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """How the predictor gets at Triton's GPU."""

    device_class_name: str = prop(
        "Device class of the claim that both containers share, where the cluster allocates GPUs by claims "
        "(DRA). It takes the place of `nvidia.com/gpu` in `resources`.",
        default="gpu.nvidia.com",
        max_length=253,
    )
    count: int = prop("GPUs of the claim.", default=1, minimum=1, maximum=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorSpec:
    """Prediction of output lengths."""

    mode: str = prop(
        "`HistoryOnly` learns from the pool's own answers; `None` predicts nothing.",
        default="HistoryOnly",
        enum=PREDICTOR_MODES,
    )
    device: str = prop(
        "Where it runs. On `GPU` it shares Triton's; where it cannot have it, it goes on on the CPU, and "
        "the condition PredictorCalibrated says so.",
        default="CPU",
        enum=DEVICES,
    )
    gpu: GpuSpec = prop("With device GPU: the claim.", factory=GpuSpec)
    history: HistorySpec = prop("Its memory.", factory=HistorySpec)

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.mode != 'None' || self.device == 'CPU'",
            "device GPU needs a predictor: choose another mode than None",
        ),
    )
