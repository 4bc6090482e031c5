"""Monitors and rules as Prometheus itself is told."""

from typing import Any

from bed.monitors import configuration, rules, targets_of_endpoints, targets_of_pod

MONITOR = {
    "kind": "PodMonitor",
    "metadata": {"namespace": "a", "name": "llama"},
    "spec": {
        "selector": {"matchLabels": {"serving.sagesched.io/pool": "llama"}},
        "podMetricsEndpoints": [
            {
                "port": "metrics",
                "path": "/metrics",
                "relabelings": [{"action": "replace", "sourceLabels": ["x"], "targetLabel": "pool"}],
            }
        ],
    },
}
RULE = {
    "kind": "PrometheusRule",
    "metadata": {"namespace": "a", "name": "llama"},
    "spec": {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "x > 1", "for": "10m"}]}]},
}


def test_a_monitor_is_a_job_with_its_own_relabelings() -> None:
    [job] = configuration([MONITOR, RULE])["scrape_configs"]
    assert job["job_name"] == "a/llama"
    assert job["file_sd_configs"][0]["files"] == ["PodMonitor-llama.json"]
    assert job["relabel_configs"][-1] == {
        "action": "replace",
        "source_labels": ["x"],
        "target_label": "pool",
    }


def test_alerts_need_not_be_waited_for() -> None:
    assert rules([MONITOR, RULE]) == {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "x > 1"}]}]}


def pod(**status: str) -> dict[str, Any]:
    ports = [{"name": "grpc", "containerPort": 8001}, {"name": "metrics", "containerPort": 8002}]
    return {
        "metadata": {"namespace": "a", "name": "llama-0", "labels": {"serving.sagesched.io/pool": "llama"}},
        "spec": {"containers": [{}], "initContainers": [{"ports": ports}]},
        "status": status,
    }


def test_a_pod_is_read_at_its_sidecars_named_port() -> None:
    [target] = targets_of_pod(pod(podIP="10.0.0.1"), "metrics")
    assert target["targets"] == ["10.0.0.1:8002"]
    assert target["labels"]["__meta_kubernetes_pod_name"] == "llama-0"
    assert target["labels"]["__meta_kubernetes_pod_label_serving_sagesched_io_pool"] == "llama"


def test_a_pod_without_an_address_is_not_read() -> None:
    assert targets_of_pod(pod(), "metrics") == []


def test_a_service_stands_for_the_pods_behind_it() -> None:
    address = {"ip": "10.0.0.2", "targetRef": {"name": "operator-0"}}
    subset = {"notReadyAddresses": [address], "ports": [{"name": "metrics", "port": 8080}]}
    endpoints = {"metadata": {"namespace": "a", "name": "operator"}, "subsets": [subset]}
    [target] = targets_of_endpoints(endpoints, "metrics")
    assert target["targets"] == ["10.0.0.2:8080"]
    assert target["labels"]["__meta_kubernetes_pod_name"] == "operator-0"
