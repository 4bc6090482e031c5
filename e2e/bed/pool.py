"""`Pool`: one LLMServingPool with emulated engines, and what a scenario asks of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from bed.images import TRITON
from cluster.errors import ClusterError
from cluster.kubectl import Cluster
from cluster.node.single_node import SingleNode

_POLL_S = 0.3
_READY_TIMEOUT_S = 180.0
KIND = "llmservingpools.serving.sagesched.io"
MODEL = "emulated-8b"
LITTLE = {"requests": {"cpu": "50m", "memory": "256Mi"}}
"""What a container of a pool asks for here: the node has to hold many, and none does much."""


class Pool:
    """A pool in a namespace of its own."""

    def __init__(self, cluster: Cluster, name: str = "llama", namespace: str = "default") -> None:
        """Take the names; nothing is made yet."""
        self.cluster = cluster
        self.name = name
        self.namespace = namespace

    def apply(self, spec: Mapping[str, Any]) -> None:
        """`kubectl apply` of the pool with this spec."""
        document = a_document(self.name, spec)
        self.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(document))

    def patch(self, change: Mapping[str, Any]) -> None:
        """`kubectl patch` of the spec."""
        self.kubectl("patch", KIND, self.name, "--type=merge", "-p", json.dumps({"spec": change}))

    def kubectl(self, *arguments: str) -> str:
        """Kubectl in the pool's namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get` in the pool's namespace."""
        return self.cluster.get("-n", self.namespace, *arguments)

    def pods(self) -> list[dict[str, Any]]:
        """All of the pool's pods, those that are ending too."""
        items: list[dict[str, Any]] = self.get("pods", "-l", f"serving.sagesched.io/pool={self.name}")[
            "items"
        ]
        return items

    def ready_pods(self) -> list[dict[str, Any]]:
        """Those that are ready and not ending."""
        return [pod for pod in self.pods() if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]

    def address(self) -> str:
        """Of the Service."""
        address: str = self.get("service", self.name)["spec"]["clusterIP"]
        return address

    def status(self) -> dict[str, Any]:
        """As the operator has written it."""
        status: dict[str, Any] = self.get(KIND, self.name).get("status", {})
        return status

    def condition(self, type_: str) -> dict[str, Any]:
        """One condition; empty where it is not there."""
        conditions: list[dict[str, Any]] = self.status().get("conditions", [])
        return next((each for each in conditions if each["type"] == type_), {})

    def gateway_status(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """What the pod's gateway tells of itself."""
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}:8002/proxy/status"
        status: dict[str, Any] = json.loads(self.cluster.kubectl("get", "--raw", path))
        return status

    def crash(self, pod: Mapping[str, Any], container: str) -> None:
        """Kill a container's first process; only on a node of the bed's own."""
        assert isinstance(self.cluster, SingleNode)
        [status] = [each for each in container_statuses(pod) if each["name"] == container]
        self.cluster.containers.kill(status["containerID"])

    def wait_settled(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until the pool is Ready for the spec as it is now.

        Raises:
            ClusterError: it is not in time; the message holds conditions and pods.
        """

        def is_settled() -> bool:
            document = self.get(KIND, self.name)
            status = document.get("status", {})
            conditions: list[dict[str, str]] = status.get("conditions", [])
            ready = next((each for each in conditions if each["type"] == "Ready"), {})
            return (
                ready.get("status") == "True"
                and status.get("observedGeneration") == document["metadata"]["generation"]
            )

        self.wait(is_settled, "Ready", timeout_s)

    def wait(self, is_so: Callable[[], bool], what: str, timeout_s: float = _READY_TIMEOUT_S) -> float:
        """Wait until something is so; returns the seconds it took.

        Raises:
            ClusterError: it is not in time; the message holds conditions and pods.
        """
        began = time.monotonic()
        while not is_so():
            if time.monotonic() - began > timeout_s:
                raise ClusterError(f"{self.name}: not {what} within {timeout_s:.0f} s\n{self.in_words()}")
            time.sleep(_POLL_S)
        return time.monotonic() - began

    def in_words(self) -> str:
        """For a message: conditions, pods, latest events."""
        conditions = "\n".join(
            f"  {each['type']}={each['status']} {each['reason']}: {each['message']}"
            for each in self.status().get("conditions", ())
        )
        pods = self.kubectl("get", "pods", "-o", "wide")
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp").splitlines()[-15:]
        return "\n".join([conditions, pods, *events])


def emulated(replicas: int = 1, **changes: Any) -> dict[str, Any]:
    """A spec with emulated engines and little appetite; `changes` replace whole top-level fields.

    Connections age in seconds: a pod that goes waits for that.
    """
    spec: dict[str, Any] = {
        "model": {"name": MODEL, "source": {"oci": {"image": TRITON, "path": "/models"}}},
        "runtime": {"image": TRITON},
        "resources": {"sharedMemory": "64Mi", **LITTLE},
        "gateway": {"resources": LITTLE, "connectionAgeSeconds": 5},
        "drain": {"maxSeconds": 60},
        "replicas": replicas,
    }
    return spec | changes


def a_document(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a pool, in no namespace."""
    kind = {"apiVersion": "serving.sagesched.io/v1alpha1", "kind": "LLMServingPool"}
    return kind | {"metadata": {"name": name}, "spec": spec}


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's condition says so."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def container_statuses(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of all containers, native sidecars among them."""
    status = pod["status"]
    statuses: list[dict[str, Any]] = [
        *status.get("initContainerStatuses", ()),
        *status.get("containerStatuses", ()),
    ]
    return statuses


def restarts(pod: Mapping[str, Any]) -> dict[str, int]:
    """Container → how often it was started again, for those that were."""
    return {each["name"]: each["restartCount"] for each in container_statuses(pod) if each["restartCount"]}


@contextmanager
def a_pool(cluster: Cluster, namespace: str, spec: Mapping[str, Any]) -> Iterator[Pool]:
    """A settled pool in a namespace of its own, both gone afterwards.

    The namespace enforces the strictest of Kubernetes' pod security standards.
    """
    cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    pool = Pool(cluster, namespace=namespace)
    try:
        pool.apply(spec)
        pool.wait_settled()
        yield pool
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")
        # Quickly: what is to be seen of a pod's end is seen in scenarios.
        pool.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")


MakePool = Callable[[Mapping[str, Any]], AbstractContextManager[Pool]]
"""Makes a settled pool of a spec, in a namespace of the scenario's own."""
