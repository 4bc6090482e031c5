"""`spec.gateway`, `spec.scheduling`, `spec.predictor`: the sidecar and what it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sagesched_gateway.settings.sections.admin import ADMIN_GROUPS
from sagesched_gateway.settings.sections.deadlines import DeadlinesConfig
from sagesched_gateway.settings.sections.limits import FULL_CODES, LimitsConfig
from sagesched_gateway.settings.sections.listen import ListenConfig
from sagesched_gateway.settings.sections.log import LOG_FORMATS, LOG_LEVELS
from sagesched_gateway.settings.sections.openai import OpenAIConfig
from sagesched_gateway.settings.sections.scheduling import EVICT_FIRST, POLICIES, SchedulingConfig
from sagesched_operator.api import kubernetes_parts as parts
from sagesched_operator.api.fields import IMAGE, NAME, NETWORK, Rule, prop

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
    seconds: int | None = prop(
        "Predicted seconds of waiting work; beyond it the dearest newcomer is refused. No limit where it is "
        "not given.",
        default=None,
        minimum=1,
        maximum=86400,
    )
    full_code: str = prop(
        "gRPC status of the refusal (HTTP: 503 or 429).", default=LimitsConfig().full_code, enum=FULL_CODES
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSpec:
    """TLS for clients, gRPC and HTTP. A renewed Secret is taken over by running pods."""

    secret_name: str = prop(
        "Secret of type `kubernetes.io/tls` in the pool's namespace.", pattern=NAME, max_length=253
    )
    require_client_certificates: bool = prop(
        "Take only clients that show a certificate issued by one in the Secret's `ca.crt`.", default=False
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
    tls: TlsSpec | None = prop("TLS for clients; none where it is not given.", default=None)
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
        items={"max_length": 43, "pattern": NETWORK},
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
class IntervalSpec:
    """The interval of the predicted length that amax and amin count on, as quantiles of its distribution."""

    lower: float = prop("amin: lower bound.", default=SchedulingConfig().lower_quantile, minimum=0, maximum=1)
    upper: float = prop("amax: upper bound.", default=SchedulingConfig().upper_quantile, minimum=0, maximum=1)

    RULES: ClassVar[tuple[Rule, ...]] = (Rule("self.lower <= self.upper", "lower must not be above upper"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionSpec:
    """amin: requests that are taken back and begun anew when the engine's KV pool would overflow."""

    first: str = prop(
        "Whose lower bound goes first.", default=SchedulingConfig().evict_first, enum=EVICT_FIRST
    )
    most: int = prop(
        "A request that was taken back so often is left alone.",
        default=SchedulingConfig().max_evictions,
        minimum=0,
        maximum=100,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinesSpec:
    """Requests that come with a deadline."""

    refuse_below: float = prop(
        "One that would be done in time with a smaller probability is refused at the door; 0 refuses none.",
        default=DeadlinesConfig().refuse_below,
        minimum=0,
        maximum=1,
    )
    drop_below: float = prop(
        "One that waits is given up with a smaller probability; 0 gives none up before its deadline.",
        default=DeadlinesConfig().drop_below,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantWeight:
    """A tenant's share."""

    name: str = prop("The tenant, as its requests name it.", max_length=128, min_length=1)
    weight: float = prop(
        "Share relative to the others'.",
        minimum=0.001,
        maximum=1000000,
        rules=(Rule("self > 0.0", "must be above 0"),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantsSpec:
    """Fair shares: each tenant gets its part of the engine, and higher priorities are served first."""

    default_weight: float = prop(
        "Share of a tenant that is not named.",
        default=1.0,
        minimum=0.001,
        maximum=1000000,
        rules=(Rule("self > 0.0", "must be above 0"),),
    )
    weights: tuple[TenantWeight, ...] = prop(
        "Shares by tenant.",
        default=(),
        max_items=256,
        x_kubernetes_list_type="map",
        x_kubernetes_list_map_keys=["name"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BandsSpec:
    """Priorities of requests, as they come with them; 0 is the usual one."""

    sheddable_below: int = prop(
        "Where `gateway.queue.seconds` is exceeded, waiting requests of a lower priority go first.",
        default=LimitsConfig().sheddable_below,
        minimum=-1000,
        maximum=1000,
    )


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
        # The API server compares whole numbers with the bound's whole part.
        rules=(Rule("self > 0.0", "must be above 0"),),
    )
    age_guard: bool = prop("ssjf: serve by age while the oldest request has waited too long.", default=False)
    interval: IntervalSpec | None = prop("amax and amin: the interval they count on.", default=None)
    evictions: EvictionSpec | None = prop("amin: requests taken back.", default=None)
    deadlines: DeadlinesSpec = prop("Requests with a deadline.", factory=DeadlinesSpec)
    tenants: TenantsSpec | None = prop("Fair shares; off where it is not given.", default=None)
    bands: BandsSpec = prop("Priorities.", factory=BandsSpec)

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!self.ageGuard || self.policy == 'ssjf'",
            "ageGuard belongs to policy ssjf: remove it, or choose that policy",
        ),
        Rule(
            "self.tailWeight == 1.0 || self.policy == 'gittins-boost'",
            "tailWeight belongs to policy gittins-boost: remove it, or choose that policy",
        ),
        Rule(
            "!has(self.interval) || self.policy in ['amax', 'amin']",
            "interval belongs to policies amax and amin: remove it, or choose one of them",
        ),
        Rule(
            "!has(self.evictions) || self.policy == 'amin'",
            "evictions belong to policy amin: remove them, or choose that policy",
        ),
    )
