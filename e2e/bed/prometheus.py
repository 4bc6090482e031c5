"""`Prometheus`: Debian's, in the cluster's network, told what to read by our own monitors.

What Prometheus' operator would make of PodMonitor, ServiceMonitor and PrometheusRule is made here: a scrape
configuration with the labels namespace and pod, and rules. Only `for` is left out of these, so that an alert
need not be waited for.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from cluster.debian import ensure_programs, find
from cluster.errors import ClusterError
from cluster.node.single_node import SingleNode

_ADDRESS = "127.0.0.1:9099"
_POLL_S = 0.5
_EVERY_S = 1
_META = "__meta_kubernetes_pod_"


class Prometheus:
    """Runs from `__enter__` to `__exit__`."""

    def __init__(self, cluster: SingleNode, documents: Iterable[Mapping[str, Any]]) -> None:
        """Prepare.

        Args:
            cluster: to read.
            documents: manifests; PodMonitor, ServiceMonitor and PrometheusRule among them are taken.
        """
        self._cluster = cluster
        self._documents = list(documents)

    def __enter__(self) -> Self:
        """Start it; returns when it answers.

        Raises:
            ToolError: Prometheus is missing and not for us to install.
            ClusterError: it did not start.
        """
        ensure_programs({"prometheus": "prometheus"})
        self._folder = tempfile.TemporaryDirectory(prefix="sagesched-prometheus-")
        folder = Path(self._folder.name)
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules(self._documents)))
        (folder / "prometheus.yaml").write_text(
            yaml.safe_dump(configuration(self._documents, self._cluster.kubeconfig))
        )
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            self._cluster.inside(
                find("prometheus") or "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={_ADDRESS}",
            ),
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.wait(lambda: self._get("/-/ready") is not None, "ready", 30)
        return self

    def __exit__(self, *_: object) -> None:
        """End it; its data goes."""
        self._process.terminate()
        self._process.wait(10)
        self._log.close()
        self._folder.cleanup()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Series of an instant query, with their latest values.

        Raises:
            ClusterError: Prometheus does not understand it, or does not answer.
        """
        answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        if answer is None or answer.get("status") != "success":
            raise ClusterError(f"Prometheus on {expression}: {answer}")
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="firing"}')}

    def targets(self) -> dict[str, str]:
        """Job and address → health of every target."""
        answer = self._get("/api/v1/targets?state=active") or {"data": {"activeTargets": []}}
        return {
            f"{each['labels']['job']} {each['scrapeUrl']}": each["health"]
            for each in answer["data"]["activeTargets"]
        }

    def wait(self, is_so: Callable[[], bool], what: str, timeout_s: float) -> float:
        """Wait until something is so; returns the seconds it took.

        Raises:
            ClusterError: it is not in time, or Prometheus has ended; with the end of its log.
        """
        began = time.monotonic()
        while not is_so():
            if self._process.poll() is not None or time.monotonic() - began > timeout_s:
                self._log.seek(0)
                raise ClusterError(
                    f"Prometheus: not {what} within {timeout_s:.0f} s\n{self._log.read()[-1500:]}"
                )
            time.sleep(_POLL_S)
        return time.monotonic() - began

    def _get(self, path: str) -> dict[str, Any] | None:
        command = self._cluster.inside("curl", "-sS", "--max-time", "10", f"http://{_ADDRESS}{path}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or "not ready" in done.stdout.lower():
            return None
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return {}
        return answer


def configuration(documents: Iterable[Mapping[str, Any]], kubeconfig: Path) -> dict[str, Any]:
    """Prometheus' configuration for these monitors."""
    jobs = [
        _job(each, endpoint, kubeconfig)
        for each in documents
        if each["kind"] in ("PodMonitor", "ServiceMonitor")
        for endpoint in each["spec"].get("podMetricsEndpoints") or each["spec"]["endpoints"]
    ]
    timing = {"scrape_interval": f"{_EVERY_S}s", "evaluation_interval": f"{_EVERY_S}s"}
    return {"global": timing, "rule_files": ["rules.yaml"], "scrape_configs": jobs}


def rules(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """All rules, each in effect at once."""
    groups = [
        group for each in documents if each["kind"] == "PrometheusRule" for group in each["spec"]["groups"]
    ]
    return {
        "groups": [
            group | {"rules": [{key: rule[key] for key in rule if key != "for"} for rule in group["rules"]]}
            for group in groups
        ]
    }


def _job(monitor: Mapping[str, Any], endpoint: Mapping[str, Any], kubeconfig: Path) -> dict[str, Any]:
    namespace, name = monitor["metadata"]["namespace"], monitor["metadata"]["name"]
    labels = monitor["spec"]["selector"]["matchLabels"]
    # A Service's pods carry the labels that select it; ours have the Service's own labels too.
    keeps = [
        {"action": "keep", "source_labels": [f"{_META}label_{_plain(key)}"], "regex": value}
        for key, value in labels.items()
    ]
    return {
        "job_name": f"{namespace}/{name}",
        "metrics_path": endpoint["path"],
        "kubernetes_sd_configs": [
            {"role": "pod", "kubeconfig_file": str(kubeconfig), "namespaces": {"names": [namespace]}}
        ],
        "relabel_configs": [
            *keeps,
            {"action": "keep", "source_labels": [f"{_META}container_port_name"], "regex": endpoint["port"]},
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": [f"{_META}name"], "target_label": "pod"},
            *map(_relabeling, endpoint.get("relabelings", ())),
        ],
    }


def _relabeling(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {names.get(key, key): value for key, value in rule.items()}


def _plain(label: str) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in label)
