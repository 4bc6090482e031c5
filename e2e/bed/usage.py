"""Memory and CPU of containers, as kubelet measures them."""

from __future__ import annotations

import json
from collections import defaultdict

from cluster.kubectl import Cluster


def usage(cluster: Cluster, namespace: str) -> str:
    """Of every container of a namespace's pods, in words; the largest where pods have one of that name.

    Kubelet measures about every ten seconds: memory is the working set, CPU a mean over that time.
    """
    nodes = [each["metadata"]["name"] for each in cluster.get("nodes")["items"]]
    paths = [f"/api/v1/nodes/{node}/proxy/stats/summary" for node in nodes]
    pods = [pod for path in paths for pod in json.loads(cluster.kubectl("get", "--raw", path))["pods"]]
    most: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for pod in pods:
        if pod["podRef"]["namespace"] == namespace:
            for container in pod.get("containers", ()):
                memory = container.get("memory", {}).get("workingSetBytes", 0) / 2**20
                cores = container.get("cpu", {}).get("usageNanoCores", 0) / 1e9
                figures = most[container["name"]]
                figures[:] = max(figures[0], memory), max(figures[1], cores)
    return ", ".join(f"{name} {memory:.0f} MiB {cores:.2f} cores" for name, (memory, cores) in most.items())
