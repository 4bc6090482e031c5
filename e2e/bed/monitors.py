"""PodMonitor, ServiceMonitor and PrometheusRule as Prometheus itself is told, in place of its operator.

Debian's Prometheus is built without discovery in Kubernetes: what it would have found is found here, and told
by a file in the same words (`__meta_kubernetes_...`), so that the monitors' own relabelings apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cluster.kubectl import Cluster

EVERY_S = 1
_SCRAPE_EVERY_S = 3
"""A gateway waits two seconds for its Triton's series before it answers without them."""
_META = "__meta_kubernetes_"
Document = Mapping[str, Any]


def configuration(documents: Iterable[Document]) -> dict[str, Any]:
    """Prometheus' configuration for these monitors; targets are read from files."""
    timing = {"scrape_interval": f"{_SCRAPE_EVERY_S}s", "evaluation_interval": f"{EVERY_S}s"}
    timing["scrape_timeout"] = timing["scrape_interval"]
    jobs = [_job(each) for each in monitors(documents)]
    return {"global": timing, "rule_files": ["rules.yaml"], "scrape_configs": jobs}


def rules(documents: Iterable[Document]) -> dict[str, Any]:
    """All rules, each in effect at once: `for` alone is left out, so that no alert need be waited for."""
    groups = [
        group for each in documents if each["kind"] == "PrometheusRule" for group in each["spec"]["groups"]
    ]
    return {
        "groups": [
            group | {"rules": [{key: rule[key] for key in rule if key != "for"} for rule in group["rules"]]}
            for group in groups
        ]
    }


def monitors(documents: Iterable[Document]) -> Iterator[Document]:
    """Those of the documents that say what is read."""
    return (each for each in documents if each["kind"] in ("PodMonitor", "ServiceMonitor"))


def targets_file(monitor: Document) -> str:
    """Name of the file that holds a monitor's targets."""
    return f"{monitor['kind']}-{monitor['metadata']['name']}.json"


def targets(cluster: Cluster, monitor: Document) -> list[dict[str, Any]]:
    """What a monitor selects just now.

    Raises:
        ClusterError: the API server does not answer.
    """
    selector = ",".join(f"{key}={value}" for key, value in monitor["spec"]["selector"]["matchLabels"].items())
    of_pods = monitor["kind"] == "PodMonitor"
    kind, read = ("pods", targets_of_pod) if of_pods else ("endpoints", targets_of_endpoints)
    found = cluster.get("-n", monitor["metadata"]["namespace"], kind, "-l", selector)["items"]
    port = _endpoint(monitor)["port"]
    return [target for each in found for target in read(each, port)]


def targets_of_pod(pod: Document, port: str) -> list[dict[str, Any]]:
    """The pod's ports of that name; native sidecars have theirs among the init containers."""
    address = pod.get("status", {}).get("podIP")
    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]
    ports = [each for container in containers for each in container.get("ports", ()) if each["name"] == port]
    labels = {
        f"{_META}pod_label_{_plain(key)}": value for key, value in pod["metadata"].get("labels", {}).items()
    }
    return [
        _target(pod["metadata"]["namespace"], pod["metadata"]["name"], address, each["containerPort"], labels)
        for each in ports
        if address
    ]


def targets_of_endpoints(endpoints: Document, port: str) -> list[dict[str, Any]]:
    """The pods behind a Service, ready or not, at its port of that name."""
    namespace = endpoints["metadata"]["namespace"]
    return [
        _target(namespace, address["targetRef"]["name"], address["ip"], each["port"], {})
        for subset in endpoints.get("subsets", ())
        for each in subset["ports"]
        if each["name"] == port
        for address in (*subset.get("addresses", ()), *subset.get("notReadyAddresses", ()))
    ]


def _target(namespace: str, pod: str, address: str, port: int, labels: dict[str, str]) -> dict[str, Any]:
    named = {f"{_META}namespace": namespace, f"{_META}pod_name": pod}
    return {"targets": [f"{address}:{port}"], "labels": labels | named}


def _job(monitor: Document) -> dict[str, Any]:
    endpoint = _endpoint(monitor)
    return {
        "job_name": f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}",
        "metrics_path": endpoint["path"],
        "file_sd_configs": [{"files": [targets_file(monitor)], "refresh_interval": f"{EVERY_S}s"}],
        "relabel_configs": [
            {"source_labels": [f"{_META}namespace"], "target_label": "namespace"},
            {"source_labels": [f"{_META}pod_name"], "target_label": "pod"},
            *map(_relabeling, endpoint.get("relabelings", ())),
        ],
    }


def _endpoint(monitor: Document) -> Document:
    endpoints: list[Document] = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
    [endpoint] = endpoints
    return endpoint


def _relabeling(rule: Document) -> dict[str, Any]:
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {names.get(key, key): value for key, value in rule.items()}


def _plain(label: str) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in label)
