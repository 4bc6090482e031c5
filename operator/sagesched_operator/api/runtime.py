"""`spec.runtime`, `spec.resources`, `spec.podTemplate`: Triton's container and the pod around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sagesched_gateway.settings.sections.engine import KV_POLICIES
from sagesched_operator.api import kubernetes_parts as parts
from sagesched_operator.api.fields import IMAGE, NAME, JsonObject, Rule, prop

PROFILES = ("auto", "inflight-batcher", "llmapi", "vllm")

RESERVED_ARGS = (
    "model-repository",
    "model-store",
    *(f"allow-{face}" for face in ("http", "grpc", "metrics")),
    *(f"{face}-{what}" for face in ("http", "grpc", "metrics") for what in ("address", "port")),
    "exit-timeout-secs",
)
"""Options of tritonserver that the operator sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSpec:
    """The Triton server."""

    image: str = prop("Triton's image.", pattern=IMAGE, max_length=512)
    profile: str = prop(
        "Kind of the served model: `auto` looks at its tensors; `llmapi` also starts Triton by "
        "`trtllm-llmapi-launch`.",
        default="auto",
        enum=PROFILES,
    )
    args: tuple[str, ...] = prop(
        "Further options of tritonserver.",
        default=(),
        max_items=64,
        items={"max_length": 1024},
        x_kubernetes_list_type="atomic",
        rules=(
            Rule(
                "self.all(arg, !["
                + ", ".join(f"'--{option}'" for option in RESERVED_ARGS)
                + "].exists(option, arg.startsWith(option)))",
                "these options are the operator's: " + ", ".join(RESERVED_ARGS),
            ),
        ),
    )
    env: tuple[JsonObject, ...] = prop(
        "Environment variables of Triton's container.", default=(), raw=parts.ENV
    )
    kv_policy: str = prop(
        "How the engine reserves KV blocks; written into the engine's own configuration. `MaxUtilization` "
        "grows as it goes and packs more requests; `GuaranteedNoEvict` reserves each request's cap ahead.",
        default="MaxUtilization",
        enum=KV_POLICIES,
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.profile != 'vllm' || self.kvPolicy == 'MaxUtilization'",
            "kvPolicy GuaranteedNoEvict does not exist in vLLM: remove it, or choose another profile",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcesSpec:
    """Resources of Triton's container."""

    limits: Mapping[str, Any] = prop("Limits, as in a pod.", factory=dict, raw=parts.QUANTITIES)
    requests: Mapping[str, Any] = prop("Requests, as in a pod.", factory=dict, raw=parts.QUANTITIES)
    shared_memory: str = prop(
        "Size of Triton's /dev/shm; counts against its memory limit.",
        default="1Gi",
        pattern=r"^[0-9]+(Mi|Gi)$",
        max_length=16,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountSpec:
    """The pods' identity; they get no token of the API server by it."""

    name: str | None = prop(
        "A ServiceAccount that exists in the pool's namespace, in place of the pool's own, which has the "
        "pool's name.",
        default=None,
        pattern=NAME,
        max_length=253,
    )
    annotations: Mapping[str, str] = prop(
        "Annotations of the pool's own: `eks.amazonaws.com/role-arn`, `iam.gke.io/gcp-service-account`.",
        factory=dict,
        max_properties=16,
        items={"max_length": 1024},
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.name) || !has(self.annotations) || size(self.annotations) == 0",
            "annotate that ServiceAccount yourself: annotations are for the pool's own, without name",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplateSpec:
    """Fields added to the pods."""

    labels: Mapping[str, str] = prop(
        "Further labels.",
        factory=dict,
        max_properties=32,
        items={"max_length": 63},
        rules=(
            Rule(
                "self.all(key, !key.startsWith('serving.sagesched.io/') && "
                "!key.startsWith('app.kubernetes.io/'))",
                "labels of serving.sagesched.io/ and app.kubernetes.io/ are the operator's",
            ),
        ),
    )
    annotations: Mapping[str, str] = prop(
        "Further annotations.",
        factory=dict,
        max_properties=32,
        items={"max_length": 4096},
        rules=(
            Rule(
                "self.all(key, !key.startsWith('serving.sagesched.io/'))",
                "annotations of serving.sagesched.io/ are the operator's",
            ),
        ),
    )
    node_selector: Mapping[str, str] = prop(
        "Labels that a node must have.", factory=dict, max_properties=32, items={"max_length": 63}
    )
    tolerations: tuple[JsonObject, ...] = prop(
        "Taints that the pods tolerate.", default=(), raw=parts.TOLERATIONS
    )
    affinity: JsonObject = prop(
        "Affinity, as in a pod; a mistake in it is reported by the pool's condition Stalled.",
        factory=dict,
        raw=parts.AFFINITY,
    )
    topology_spread_constraints: tuple[JsonObject, ...] = prop(
        "How pods spread; by default over nodes, where that can be had.", default=(), raw=parts.SPREAD
    )
    priority_class_name: str | None = prop("Priority class of the pods.", default=None, max_length=253)
    runtime_class_name: str | None = prop(
        "Runtime class, `nvidia` on many GPU clusters.", default=None, max_length=253
    )
    image_pull_secrets: tuple[str, ...] = prop(
        "Secrets for pulling images.",
        default=(),
        max_items=8,
        items={"max_length": 253},
        x_kubernetes_list_type="set",
    )
    service_account: ServiceAccountSpec = prop(
        "Who the pods are to a cloud that has to let them at the model.", factory=ServiceAccountSpec
    )
    fs_group: int = prop("Group that owns volumes (fsGroup).", default=1000, minimum=1, maximum=2147483647)
    volumes: tuple[JsonObject, ...] = prop(
        "Further volumes: of a claim, a ConfigMap, a Secret, a CSI driver, or empty.",
        default=(),
        raw=parts.VOLUMES,
    )
    volume_mounts: tuple[JsonObject, ...] = prop(
        "Where Triton's container has them.", default=(), raw=parts.VOLUME_MOUNTS
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes) && "
            "self.volumes.exists(volume, volume.name == mount.name))",
            "each of volumeMounts needs a volume of that name in volumes",
        ),
    )
