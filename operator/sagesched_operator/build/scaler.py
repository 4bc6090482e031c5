"""ScaledObject or HorizontalPodAutoscaler: both read one figure, "pods wanted", and write `/scale`."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import API_VERSION, KIND, Pool
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.build.surroundings import Installation

METRIC = "sagesched_pool_wanted_replicas"


def scaled_object(pool: Pool, installation: Installation) -> Manifest:
    """For KEDA, which asks the operator's external scaler."""
    scaling = pool.spec.scaling
    spec: dict[str, Any] = {
        "scaleTargetRef": _target(pool),
        "minReplicaCount": scaling.min_replicas,
        "maxReplicaCount": scaling.max_replicas,
        "pollingInterval": 10,
        "triggers": [
            {
                "type": "external",
                "metricType": "AverageValue",
                "metadata": {
                    "scalerAddress": installation.scaler_address,
                    "pool": pool.name,
                },
            }
        ],
    }
    if scaling.behavior:
        spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": dict(scaling.behavior)}}
    return manifest(pool, "keda.sh/v1alpha1", "ScaledObject", pool.name, {"spec": spec})


def horizontal_pod_autoscaler(pool: Pool) -> Manifest:
    """For the cluster's own scaler, on the operator's series by a metrics adapter."""
    scaling = pool.spec.scaling
    metric = {
        "type": "External",
        "external": {
            "metric": {
                "name": METRIC,
                "selector": {"matchLabels": {"pool_namespace": pool.namespace, "pool": pool.name}},
            },
            "target": {"type": "AverageValue", "averageValue": "1"},
        },
    }
    spec: dict[str, Any] = {
        "scaleTargetRef": _target(pool),
        "minReplicas": scaling.min_replicas,
        "maxReplicas": scaling.max_replicas,
        "metrics": [metric],
    }
    if scaling.behavior:
        spec["behavior"] = dict(scaling.behavior)
    return manifest(pool, "autoscaling/v2", "HorizontalPodAutoscaler", pool.name, {"spec": spec})


def _target(pool: Pool) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "name": pool.name}
