"""The reading of NetworkPolicies against cases from Kubernetes' own description of them."""

from typing import Any

from bed.policy_rules import Peer, may_connect


def peer(namespace: str, **labels: str) -> Peer:
    return Peer(
        namespace=namespace,
        labels=labels,
        namespace_labels={"kubernetes.io/metadata.name": namespace},
        ports={"metrics": 8002},
    )


def policy(namespace: str = "a", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace}, "spec": {"podSelector": {}, **spec}}


def test_a_pod_that_no_policy_selects_is_open() -> None:
    other = policy("b", policyTypes=["Ingress"])
    unselecting = policy(podSelector={"matchLabels": {"app": "x"}})
    assert may_connect([], peer("b"), peer("a"), 1)
    assert may_connect([other, unselecting], peer("b"), peer("a"), 1)


def test_a_policy_without_rules_closes() -> None:
    assert not may_connect([policy()], peer("a"), peer("a"), 1)
    assert not may_connect([policy(policyTypes=["Egress"])], peer("a"), peer("b"), 1)
    assert may_connect([policy(policyTypes=["Egress"])], peer("b"), peer("a"), 1)


def test_a_pod_selector_alone_means_the_own_namespace() -> None:
    rules = [policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "x"}}}]}])]
    assert may_connect(rules, peer("a", app="x"), peer("a"), 1)
    assert not may_connect(rules, peer("b", app="x"), peer("a"), 1)
    assert not may_connect(rules, peer("a", app="y"), peer("a"), 1)


def test_both_selectors_in_one_peer_must_hold() -> None:
    both = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}},
        "podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
    }
    rules = [policy(ingress=[{"from": [both]}])]
    assert may_connect(rules, peer("b", app="x"), peer("a"), 1)
    assert not may_connect(rules, peer("b"), peer("a"), 1)
    assert not may_connect(rules, peer("a", app="x"), peer("a"), 1)


def test_ports_are_numbers_or_names_and_policies_add_up() -> None:
    rules = [
        policy(ingress=[{"ports": [{"protocol": "TCP", "port": "metrics"}]}]),
        policy(ingress=[{"ports": [{"protocol": "UDP", "port": 53}, {"port": 80}]}]),
    ]
    assert [port for port in (53, 80, 8002, 8001) if may_connect(rules, peer("b"), peer("a"), port)] == [
        80,
        8002,
    ]
