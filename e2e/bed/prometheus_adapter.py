"""Metrics for HorizontalPodAutoscalers: a Prometheus that reads the operator, and prometheus-adapter."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bed.addon import load_programs
from bed.documented import ROOT
from bed.installation import NAMESPACE as OPERATORS
from cluster.addon_families import PROMETHEUS_ADAPTER
from cluster.debian import ensure_programs, find
from cluster.node.layout import NODE_ADDRESS
from cluster.node.single_node import SingleNode

NAMESPACE = "monitoring"
_PORT = 9090
_SCRAPE_S = 5


@contextmanager
def prometheus_adapter(cluster: SingleNode) -> Iterator[None]:
    """Both, ready, as long as the `with` lasts; the adapter has the settings of the docs' example."""
    ensure_programs({"prometheus": "prometheus"})
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
    """Debian's, in the cluster's network; it finds the operator's pods by the API."""
    with tempfile.TemporaryDirectory(prefix="sagesched-prometheus-") as name:
        folder = Path(name)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_settings(cluster)))
        command = [
            find("prometheus") or "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={NODE_ADDRESS}:{_PORT}",
        ]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(cluster.inside(*command), stdout=log, stderr=subprocess.STDOUT)
            try:
                yield
            finally:
                process.terminate()
                process.wait()


def _settings(cluster: SingleNode) -> dict[str, Any]:
    labels = "__meta_kubernetes_pod_label_app_kubernetes_io_name"
    job = {
        "job_name": "sagesched-operator",
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                "kubeconfig_file": str(cluster.kubeconfig),
                "namespaces": {"names": [OPERATORS]},
            }
        ],
        "relabel_configs": [
            {"source_labels": [labels], "regex": "sagesched-operator", "action": "keep"},
            {
                "source_labels": ["__meta_kubernetes_pod_container_port_name"],
                "regex": "metrics",
                "action": "keep",
            },
        ],
    }
    return {"global": {"scrape_interval": f"{_SCRAPE_S}s"}, "scrape_configs": [job]}
