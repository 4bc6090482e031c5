"""What builders know besides the pool: the operator's installation and the cluster's kinds."""

from __future__ import annotations

from dataclasses import dataclass

POD_MONITOR = "monitoring.coreos.com/v1/PodMonitor"
PROMETHEUS_RULE = "monitoring.coreos.com/v1/PrometheusRule"
SCALED_OBJECT = "keda.sh/v1alpha1/ScaledObject"
INFERENCE_POOL = "inference.networking.k8s.io/v1/InferencePool"
CLAIM_TEMPLATE = "resource.k8s.io/v1/ResourceClaimTemplate"
OPTIONAL_KINDS = (POD_MONITOR, PROMETHEUS_RULE, SCALED_OBJECT, INFERENCE_POOL, CLAIM_TEMPLATE)
"""Kinds that a cluster may lack, `group/version/Kind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """How the operator was installed.

    Attributes:
        gateway_image: image of the gateway for pools that name none.
        gateway_gpu_image: the same with ONNX Runtime for GPUs.
        fetch_image: image that fetches `model.source.uri`; called with URI and folder.
        namespace: where the operator runs.
        operator_labels: labels of its pods.
        monitoring_namespace: where Prometheus runs; empty for any namespace.
        monitor_labels: labels by which Prometheus finds monitors and rules.
        scaler_address: `host:port` of the external scaler, as KEDA reaches it.
        dns_ports: that name services of the cluster listen on, in their pods.
        allows_host_path: whether pools may use folders of nodes.
    """

    gateway_image: str = "ghcr.io/sagesched/gateway:0.1.0"
    gateway_gpu_image: str = "ghcr.io/sagesched/gateway-gpu:0.1.0"
    fetch_image: str = "kserve/storage-initializer:v0.16.0"
    namespace: str = "sagesched-system"
    operator_labels: tuple[tuple[str, str], ...] = (("app.kubernetes.io/name", "sagesched-operator"),)
    monitoring_namespace: str = ""
    monitor_labels: tuple[tuple[str, str], ...] = ()
    scaler_address: str = "sagesched-operator.sagesched-system.svc:9090"
    dns_ports: tuple[int, ...] = (53,)
    allows_host_path: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Which of `OPTIONAL_KINDS` the cluster has."""

    kinds: frozenset[str] = frozenset(OPTIONAL_KINDS)

    def has(self, kind: str) -> bool:
        """Whether objects of the kind can be made."""
        return kind in self.kinds
