"""What NetworkPolicies allow between pods, by their rules, where the network does not enforce them. PURE.

Only what our policies use: pod and namespace selectors (labels and expressions), address blocks, ports by
number or name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One end of a connection.

    Attributes:
        namespace: name of its namespace.
        namespace_labels: of the namespace.
        labels: of the pod.
        ports: names of the container's ports, where a rule names them.
        address: its own, where a rule names a block.
    """

    namespace: str
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    ports: Mapping[str, int]
    address: str = ""

    @classmethod
    def of(cls, pod: Manifest, namespace: Manifest) -> Peer:
        """A pod as the API server gives it."""
        spec = pod["spec"]
        containers = (*spec.get("initContainers", ()), *spec["containers"])
        ports = [port for container in containers for port in container.get("ports", ())]
        return cls(
            namespace=namespace["metadata"]["name"],
            labels=pod["metadata"].get("labels", {}),
            namespace_labels=namespace["metadata"].get("labels", {}),
            ports={port["name"]: port["containerPort"] for port in ports if "name" in port},
            address=pod.get("status", {}).get("podIP", ""),
        )


def may_connect(policies: Iterable[Manifest], source: Peer, target: Peer, port: int) -> bool:
    """Whether TCP from one pod to another's port passes all policies that select either."""
    policies = list(policies)
    return _passes(policies, "Egress", source, target, port) and _passes(
        policies, "Ingress", target, source, port
    )


def _passes(policies: Sequence[Manifest], direction: str, own: Peer, other: Peer, port: int) -> bool:
    target = own if direction == "Ingress" else other
    selecting = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == own.namespace
        and direction in policy["spec"].get("policyTypes", ("Ingress",))
        and _matches(policy["spec"]["podSelector"], own.labels)
    ]
    ends, peers = direction.lower(), "from" if direction == "Ingress" else "to"
    return not selecting or any(
        _names_port(rule.get("ports"), target, port)
        and _names_peer(rule.get(peers), policy["metadata"]["namespace"], other)
        for policy in selecting
        for rule in policy["spec"].get(ends, ())
    )


def _names_port(ports: Sequence[Manifest] | None, target: Peer, port: int) -> bool:
    if not ports:
        return True
    return any(
        each.get("protocol", "TCP") == "TCP"
        and ("port" not in each or each["port"] == port or target.ports.get(str(each["port"])) == port)
        for each in ports
    )


def _names_peer(peers: Sequence[Manifest] | None, namespace: str, other: Peer) -> bool:
    return not peers or any(_is_peer(peer, namespace, other) for peer in peers)


def _is_peer(peer: Manifest, namespace: str, other: Peer) -> bool:
    if "ipBlock" in peer:
        return bool(other.address) and ipaddress.ip_address(other.address) in ipaddress.ip_network(
            peer["ipBlock"]["cidr"]
        )
    if "namespaceSelector" in peer:
        is_there = _matches(peer["namespaceSelector"], other.namespace_labels)
    else:
        is_there = other.namespace == namespace
    return is_there and _matches(peer.get("podSelector", {}), other.labels)


def _matches(selector: Manifest, labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions", ())
    )


def _holds(expression: Manifest, labels: Mapping[str, str]) -> bool:
    key: str = expression["key"]
    operator: str = expression["operator"]
    if operator in ("Exists", "DoesNotExist"):
        return (key in labels) is (operator == "Exists")
    if operator == "In":
        return any(labels.get(key) == value for value in expression["values"])
    return all(labels.get(key) != value for value in expression["values"])
