"""Memory and CPU of containers, as kubelet measures them."""

from __future__ import annotations

import json
from collections import defaultdict

from cluster.node.layout import NODE
from cluster.node.single_node import SingleNode


def usage(cluster: SingleNode, namespace: str) -> str:
    """Of every container of a namespace's pods, in words; the largest where pods have one of that name.

    Kubelet measures about every ten seconds: memory is the working set, CPU a mean over that time.
    """
    path = f"/api/v1/nodes/{NODE}/proxy/stats/summary"
    most: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for pod in json.loads(cluster.kubectl("get", "--raw", path))["pods"]:
        if pod["podRef"]["namespace"] == namespace:
            for container in pod.get("containers", ()):
                memory = container.get("memory", {}).get("workingSetBytes", 0) / 2**20
                cores = container.get("cpu", {}).get("usageNanoCores", 0) / 1e9
                figures = most[container["name"]]
                figures[:] = max(figures[0], memory), max(figures[1], cores)
    return ", ".join(f"{name} {memory:.0f} MiB {cores:.2f} cores" for name, (memory, cores) in most.items())
