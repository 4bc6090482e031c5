"""`spec.observability`, `spec.security`, `spec.expose`: what stands around the pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sagesched_gateway.settings.sections.traces import TracesConfig
from sagesched_operator.api.fields import ENDPOINT, NAME, NETWORK, Rule, prop


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesSpec:
    """Traces of requests, without prompts and answers. Changes apply at once, without new pods."""

    endpoint: str = prop(
        "An OpenTelemetry collector's OTLP port over gRPC: `http://host:4317`, or `https://` for TLS.",
        pattern=ENDPOINT,
        max_length=512,
    )
    sample_ratio: float = prop(
        "Share of requests that are traced; where a client sends `traceparent`, its own decision counts.",
        default=TracesConfig().sample_ratio,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilitySpec:
    """Monitoring by the Prometheus operator, and traces."""

    monitor: str = prop(
        "`PodMonitor` where that kind exists, or nothing.", default="PodMonitor", enum=("PodMonitor", "None")
    )
    scrape_seconds: int = prop("Time between two readings.", default=15, minimum=5, maximum=300)
    rules: bool = prop("Alerts of this pool as a PrometheusRule, where that kind exists.", default=True)
    traces: TracesSpec | None = prop("Traces; none where it is not given.", default=None)

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!self.rules || self.monitor != 'None'",
            "rules need the series that a monitor collects: set rules: false, or monitor: PodMonitor",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySpec:
    """Who may reach the pods, and what the pods may do."""

    network_policy: str = prop(
        "`Strict`: clients of the pool's own namespace, of `clientNamespaces` and `clientNetworks`, metrics "
        "for the operator and Prometheus alone, no way out but name service, with a `uri` source https, "
        "with traces the collector's port. "
        "`Open`: no policy.",
        default="Strict",
        enum=("Strict", "Open"),
    )
    client_namespaces: tuple[str, ...] = prop(
        "Namespaces whose pods may call the gateway, besides the pool's own.",
        default=(),
        max_items=64,
        items={"max_length": 63, "pattern": NAME},
        x_kubernetes_list_type="set",
    )
    client_networks: tuple[str, ...] = prop(
        "Networks (CIDR) that may call the gateway: clients outside the cluster, or a load balancer that "
        "keeps their addresses.",
        default=(),
        max_items=64,
        items={"max_length": 43, "pattern": NETWORK},
        x_kubernetes_list_type="set",
    )
    pod_security: str = prop(
        "Level of the pod security standards that the pods keep. `Baseline` lets Triton write to its own "
        "root file system and run as the image's user.",
        default="Restricted",
        enum=("Restricted", "Baseline"),
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.clientNamespaces) || size(self.clientNamespaces) == 0 || "
            "self.networkPolicy == 'Strict'",
            "clientNamespaces have no meaning with networkPolicy Open",
        ),
        Rule(
            "!has(self.clientNetworks) || size(self.clientNetworks) == 0 || self.networkPolicy == 'Strict'",
            "clientNetworks have no meaning with networkPolicy Open",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPickerRef:
    """The picker that chooses among the pods of an InferencePool."""

    name: str = prop("Its Service.", pattern=NAME, max_length=63)
    port: int = prop("Its port.", default=9002, minimum=1, maximum=65535)
    failure_mode: str = prop(
        "What a gateway does while the picker is away.", default="FailClose", enum=("FailOpen", "FailClose")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InferencePoolSpec:
    """An InferencePool of the Gateway API over the pods."""

    endpoint_picker: EndpointPickerRef = prop("The picker.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposeSpec:
    """How clients find the pods."""

    service_type: str = prop(
        "Type of the pool's Service. Who comes from outside the cluster has to be let in: "
        "`security.clientNetworks`.",
        default="ClusterIP",
        enum=("ClusterIP", "NodePort", "LoadBalancer"),
    )
    service_annotations: Mapping[str, str] = prop(
        "Annotations of the Service, as load balancers want them.",
        factory=dict,
        max_properties=32,
        items={"max_length": 4096},
    )
    inference_pool: InferencePoolSpec | None = prop(
        "Make an InferencePool too, where that kind exists.", default=None
    )
