"""`Pool`: one `LLMServingPool`, read and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sagesched_operator.api.fields import Rule, prop
from sagesched_operator.api.gateway import GatewaySpec, SchedulingSpec
from sagesched_operator.api.lifecycle import DisruptionSpec, DrainSpec, RolloutSpec, ScalingSpec
from sagesched_operator.api.model import ModelSpec
from sagesched_operator.api.predictor import PredictorSpec
from sagesched_operator.api.reading import SpecError, read
from sagesched_operator.api.runtime import PodTemplateSpec, ResourcesSpec, RuntimeSpec
from sagesched_operator.api.surroundings import ExposeSpec, ObservabilitySpec, SecuritySpec

GROUP = "serving.sagesched.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "LLMServingPool"
PLURAL = "llmservingpools"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """`spec`."""

    model: ModelSpec = prop("What is served.")
    runtime: RuntimeSpec = prop("The Triton server.")
    resources: ResourcesSpec = prop("Resources of Triton's container.", factory=ResourcesSpec)
    pod_template: PodTemplateSpec = prop("Fields added to the pods.", factory=PodTemplateSpec)
    replicas: int = prop(
        "Pods. Leave it out of Git while `scaling.actuator` is set: scalers write it by the scale "
        "subresource.",
        default=1,
        minimum=0,
        maximum=1000,
    )
    suspend: bool = prop("Run no pods, keep everything else.", default=False)
    scaling: ScalingSpec = prop("Scaling by predicted work.", factory=ScalingSpec)
    gateway: GatewaySpec = prop("The sidecar.", factory=GatewaySpec)
    scheduling: SchedulingSpec = prop("The order of waiting requests.", factory=SchedulingSpec)
    predictor: PredictorSpec = prop("Prediction of output lengths.", factory=PredictorSpec)
    drain: DrainSpec = prop("The end of a pod.", factory=DrainSpec)
    rollout: RolloutSpec = prop("A changed pod.", factory=RolloutSpec)
    disruption: DisruptionSpec = prop("Node drains and evictions.", factory=DisruptionSpec)
    observability: ObservabilitySpec = prop("Monitoring.", factory=ObservabilitySpec)
    security: SecuritySpec = prop("Who may reach the pods.", factory=SecuritySpec)
    expose: ExposeSpec = prop("How clients find the pods.", factory=ExposeSpec)

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(self.scheduling.policy in ['ssjf', 'sagesched', 'amax', 'amin']) || "
            "self.predictor.mode != 'None'",
            "this policy orders by predictions: choose another predictor.mode than None, or policy fcfs",
        ),
        Rule(
            "!(self.scheduling.policy in ['amax', 'amin']) || self.runtime.kvPolicy == 'MaxUtilization'",
            "amax and amin need an engine that grows KV as it goes: choose runtime.kvPolicy MaxUtilization",
        ),
        Rule(
            "!has(self.predictor.history.snapshot) || (self.replicas <= 1 && self.scaling.actuator == 'None' "
            "&& (self.rollout.maxSurge == 0 || self.rollout.maxSurge == '0%'))",
            "predictor.history.snapshot has one writer: one replica, no actuator, and rollout.maxSurge 0",
        ),
        Rule(
            "self.scheduling.bands.sheddableBelow == 0 || has(self.gateway.queue.seconds)",
            "bands.sheddableBelow takes effect at gateway.queue.seconds: set that too",
        ),
        Rule(
            "!has(self.drain.quantile) || self.predictor.mode != 'None'",
            "drain.quantile needs predictions: remove it, or choose another predictor.mode than None",
        ),
        Rule(
            "!(has(self.gateway.tls) && has(self.expose.inferencePool))",
            "gateways of an InferencePool speak to pods without TLS: remove gateway.tls and let the Gateway "
            "serve TLS, or remove expose.inferencePool",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool.

    Attributes:
        name, namespace, uid, generation: of its metadata.
        labels: its own, handed on to nothing; kept for messages.
        spec: typed.
        raw_spec: as it came, for the revision history.
        status: as last written, or empty.
    """

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    spec: PoolSpec
    raw_spec: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)


def parse_pool(body: Mapping[str, Any]) -> Pool:
    """Read a resource.

    Raises:
        SpecError: it is not an `LLMServingPool` of this version, or its spec cannot be read.
    """
    if body.get("kind") != KIND or body.get("apiVersion") != API_VERSION:
        raise SpecError(
            f"must be a {KIND} of {API_VERSION}, not {body.get('kind')} of {body.get('apiVersion')}"
        )
    metadata = body.get("metadata") or {}
    if not metadata.get("name"):
        raise SpecError("metadata.name: missing")
    return Pool(
        name=metadata["name"],
        namespace=metadata.get("namespace") or "default",
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        spec=read(PoolSpec, body.get("spec")),
        raw_spec=body["spec"],
        status=body.get("status") or {},
    )
