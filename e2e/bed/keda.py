"""KEDA in the cluster: operator and metrics adapter, as its own manifests have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from bed.addon import kustomized, load_programs, module_files
from cluster.addon_families import KEDA
from cluster.node.single_node import SingleNode

NAMESPACE = "keda"
_DEPLOYMENTS = ("keda-operator", "keda-metrics-apiserver")
_RESOURCES = ["crd", "general", "rbac", "manager", "metrics-server", "service_account"]
_IMAGES = {"keda": "ghcr.io/kedacore/keda", "keda-adapter": "ghcr.io/kedacore/keda-metrics-apiserver"}
_AT_ONCE = [
    {"op": "replace", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "Never"},
    {
        "op": "replace",
        "path": "/spec/template/spec/containers/0/readinessProbe/initialDelaySeconds",
        "value": 1,
    },
    {"op": "add", "path": "/spec/template/spec/containers/0/readinessProbe/periodSeconds", "value": 1},
]


@contextmanager
def keda(cluster: SingleNode) -> Iterator[None]:
    """KEDA, ready, as long as the `with` lasts."""
    images = load_programs(cluster, KEDA)
    changes: dict[str, object] = {
        "images": [
            {"name": _IMAGES[program], "newName": image.rpartition(":")[0], "newTag": KEDA.version}
            for program, image in images.items()
        ],
        "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(_AT_ONCE)}],
    }
    with kustomized(module_files(KEDA, "config"), _RESOURCES, changes) as folder:
        manifests = cluster.kubectl("kustomize", str(folder))
    try:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)
        for name in _DEPLOYMENTS:
            cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=120s")
        service = "apiservice/v1beta1.external.metrics.k8s.io"
        cluster.kubectl("wait", service, "--for=condition=Available", "--timeout=90s")
        yield
    finally:
        # KEDA lets go of its objects itself; without it they would stay for ever.
        cluster.run("kubectl", "delete", "scaledobjects", "--all", "-A", "--timeout=60s")
        cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=manifests)
