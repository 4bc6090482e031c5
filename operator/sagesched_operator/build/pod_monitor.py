"""PodMonitor: Prometheus reads the gateways, which pass Triton's own series on."""

from __future__ import annotations

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.names import POOL_LABEL, selector_of


def pod_monitor(pool: Pool, installation: Installation) -> Manifest:
    """The object."""
    endpoint = {
        "port": "metrics",
        "path": "/metrics",
        "interval": f"{pool.spec.observability.scrape_seconds}s",
        "relabelings": [
            {
                "action": "replace",
                "sourceLabels": ["__meta_kubernetes_pod_label_" + _in_prometheus(POOL_LABEL)],
                "targetLabel": "pool",
            }
        ],
    }
    spec = {"selector": {"matchLabels": selector_of(pool)}, "podMetricsEndpoints": [endpoint]}
    labels = installation.monitor_labels
    return manifest(pool, "monitoring.coreos.com/v1", "PodMonitor", pool.name, {"spec": spec}, labels=labels)


def _in_prometheus(label: str) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in label)
