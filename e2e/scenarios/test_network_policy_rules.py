"""Who may reach what: the policies as they are in the cluster, applied to the pods that are there.

This bed's network does not enforce policies, so the rules are read as Kubernetes defines them.
"""

from __future__ import annotations

import pytest

from bed.installation import NAMESPACE
from bed.policy_rules import Peer, may_connect
from bed.pool import MakePool, emulated
from bed.record import Record

_GATEWAY, _METRICS = (8000, 8001), 8002
_INSIDE = (18000, 18001, 18002)


@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_network_policy_rules(make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(security={"clientNamespaces": ["friends"]})) as pool:
        cluster = pool.cluster
        policies = cluster.get("networkpolicies", "-A")["items"]
        namespaces = {each["metadata"]["name"]: each for each in cluster.get("namespaces")["items"]}
        ours = Peer.of(pool.ready_pods()[0], namespaces[pool.namespace])
        [operator, *_] = [
            Peer.of(pod, namespaces[NAMESPACE])
            for pod in cluster.get("pods", "-n", NAMESPACE)["items"]
            if pod["metadata"]["labels"].get("app.kubernetes.io/name") == "sagesched-operator"
        ]

    def somebody(namespace: str, **labels: str) -> Peer:
        named = {"kubernetes.io/metadata.name": namespace}
        return Peer(namespace=namespace, labels=labels, namespace_labels=named, ports={})

    def reachable(source: Peer, target: Peer, ports: tuple[int, ...]) -> list[int]:
        return [port for port in ports if may_connect(policies, source, target, port)]

    everything = (*_GATEWAY, _METRICS, *_INSIDE)
    prometheus = somebody("monitoring", **{"app.kubernetes.io/name": "prometheus"})
    assert reachable(somebody(pool.namespace), ours, everything) == list(_GATEWAY)
    assert reachable(somebody("friends"), ours, everything) == list(_GATEWAY)
    assert reachable(somebody("strangers"), ours, everything) == []
    assert reachable(operator, ours, everything) == [_METRICS]
    assert reachable(prometheus, ours, everything) == [_METRICS]
    record.proved("pool: clients of its namespace and of those named; operator and Prometheus its metrics")

    keda = somebody("keda", app="keda-operator")
    assert reachable(prometheus, operator, (8080, 9090)) == [8080]
    assert reachable(keda, operator, (8080, 9090)) == [9090]
    assert reachable(somebody("strangers"), operator, (8080, 9090)) == []
    assert reachable(ours, operator, (8080, 9090)) == []
    assert reachable(ours, somebody("strangers"), (80, 443, 8001)) == []
    assert reachable(ours, somebody("kube-system"), (53,)) == [53]
    record.proved("operator: Prometheus and KEDA; a pool's pods reach nothing but names")
