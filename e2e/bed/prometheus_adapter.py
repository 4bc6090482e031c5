"""Metrics for HorizontalPodAutoscalers: a Prometheus that reads the operator, and prometheus-adapter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bed.addon import load_programs
from bed.documented import ROOT
from bed.installation import NAMESPACE as OPERATORS
from bed.installation import RELEASE
from bed.prometheus import CONFIGURATION, Prometheus
from cluster.addon_families import PROMETHEUS_ADAPTER
from cluster.node.layout import NODE_ADDRESS
from cluster.node.single_node import SingleNode

NAMESPACE = "monitoring"
_PORT = 9090
_METRICS = 8080
_SCRAPE_S = 5


@contextmanager
def prometheus_adapter(cluster: SingleNode) -> Iterator[None]:
    """Both, ready, as long as the `with` lasts; the adapter has the settings of the docs' example."""
    [image] = load_programs(cluster, PROMETHEUS_ADAPTER).values()
    template = Path(__file__).with_suffix(".yaml").read_text()
    url = f"http://{NODE_ADDRESS}:{_PORT}"
    manifests = template.replace("image: IMAGE", f"image: {image}").replace("=URL", f"={url}")
    settings = str(ROOT / "docs" / "examples" / "scaling" / "prometheus-adapter.yaml")
    with _prometheus(cluster):
        try:
            cluster.kubectl("apply", "-f", "-", stdin=manifests)
            cluster.kubectl("apply", "-f", settings)
            name = "deployment/prometheus-adapter"
            cluster.kubectl("-n", NAMESPACE, "rollout", "status", name, "--timeout=120s")
            service = "apiservice/v1beta1.external.metrics.k8s.io"
            cluster.kubectl("wait", service, "--for=condition=Available", "--timeout=60s")
            yield
        finally:
            cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=manifests)


@contextmanager
def _prometheus(cluster: SingleNode) -> Iterator[None]:
    """Reads the operator, and answers the adapter's pod."""
    with tempfile.TemporaryDirectory(prefix="sagesched-prometheus-") as name:
        folder = Path(name)
        (folder / CONFIGURATION).write_text(yaml.safe_dump(_settings(cluster)))
        with Prometheus(cluster, folder, f"{NODE_ADDRESS}:{_PORT}"):
            yield


def _settings(cluster: SingleNode) -> dict[str, Any]:
    """The operator by its Service: Debian's Prometheus cannot ask Kubernetes for pods."""
    address = cluster.get("-n", OPERATORS, "service", RELEASE)["spec"]["clusterIP"]
    job = {"job_name": "sagesched-operator", "static_configs": [{"targets": [f"{address}:{_METRICS}"]}]}
    return {"global": {"scrape_interval": f"{_SCRAPE_S}s"}, "scrape_configs": [job]}
