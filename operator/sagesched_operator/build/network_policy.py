"""NetworkPolicy: clients reach the gateway, operator and Prometheus its metrics, nobody Triton."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.fetching import egress_to
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.build.paths import GRPC, HTTP, METRICS
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.build.volumes import fetched
from sagesched_operator.names import selector_of

_NAMESPACE = "kubernetes.io/metadata.name"


def network_policy(pool: Pool, installation: Installation) -> Manifest:
    """The object."""
    clients: list[dict[str, Any]] = [{"podSelector": {}}]
    clients += [
        {"namespaceSelector": {"matchLabels": {_NAMESPACE: name}}}
        for name in sorted(pool.spec.security.client_namespaces)
    ]
    clients += [{"ipBlock": {"cidr": network}} for network in sorted(pool.spec.security.client_networks)]
    spec = {
        "podSelector": {"matchLabels": selector_of(pool)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"from": clients, "ports": [_tcp(GRPC), _tcp(HTTP)]},
            {"from": _watchers(pool, installation), "ports": [_tcp(METRICS)]},
        ],
        "egress": _egress(pool, installation),
    }
    return manifest(pool, "networking.k8s.io/v1", "NetworkPolicy", pool.name, {"spec": spec})


def _watchers(pool: Pool, installation: Installation) -> list[dict[str, Any]]:
    operator = {
        "namespaceSelector": {"matchLabels": {_NAMESPACE: installation.namespace}},
        "podSelector": {"matchLabels": dict(installation.operator_labels)},
    }
    prometheus: dict[str, Any] = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
    prometheus["namespaceSelector"] = (
        {"matchLabels": {_NAMESPACE: installation.monitoring_namespace}}
        if installation.monitoring_namespace
        else {}
    )
    # The picker of an InferencePool reads every pod's metrics, and runs in the pool's namespace.
    picks = pool.spec.expose.inference_pool is not None
    pickers: list[dict[str, Any]] = [{"podSelector": {}}] if picks else []
    return [operator, prometheus, *pickers]


def _egress(pool: Pool, installation: Installation) -> list[dict[str, Any]]:
    names = [
        part for port in installation.dns_ports for part in ({"protocol": "UDP", "port": port}, _tcp(port))
    ]
    rules: list[dict[str, Any]] = [{"ports": names}]
    for source in fetched(pool).values():
        rules += [rule for rule in egress_to(source) if rule not in rules]
    traces = pool.spec.observability.traces
    if traces is not None:
        rules.append({"ports": [_tcp(int(traces.endpoint.rpartition(":")[2]))]})
    return rules


def _tcp(port: int) -> dict[str, Any]:
    return {"protocol": "TCP", "port": port}
