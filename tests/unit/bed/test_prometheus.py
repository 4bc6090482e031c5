"""Monitors and rules as Prometheus itself is told."""

from pathlib import Path

from bed.prometheus import configuration, rules

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


def test_a_monitor_is_a_job_that_keeps_the_selected_pods_and_ports() -> None:
    [job] = configuration([MONITOR, RULE], Path("/kubeconfig"))["scrape_configs"]
    assert job["job_name"] == "a/llama"
    assert job["kubernetes_sd_configs"][0]["namespaces"] == {"names": ["a"]}
    keeps = {rule["source_labels"][0]: rule["regex"] for rule in job["relabel_configs"] if "regex" in rule}
    assert keeps == {
        "__meta_kubernetes_pod_label_serving_sagesched_io_pool": "llama",
        "__meta_kubernetes_pod_container_port_name": "metrics",
    }
    assert job["relabel_configs"][-1] == {
        "action": "replace",
        "source_labels": ["x"],
        "target_label": "pool",
    }


def test_alerts_need_not_be_waited_for() -> None:
    assert rules([MONITOR, RULE]) == {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "x > 1"}]}]}
