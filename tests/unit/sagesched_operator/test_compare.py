"""Does an object hold what it should?"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from builders import the_pool

from sagesched_operator.build.desired import build
from sagesched_operator.build.surroundings import Capabilities, Installation
from sagesched_operator.cluster.compare import first_difference


@pytest.fixture
def wanted():
    return build(the_pool(), Installation(), Capabilities()).objects[-1]


@pytest.fixture
def live(wanted):
    """As the server gives it: defaults added, quantities its own way, empty things left out."""
    live = copy.deepcopy(wanted)
    pod = live["spec"]["template"]["spec"]
    pod |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}
    pod["containers"][0]["imagePullPolicy"] = "IfNotPresent"
    pod["initContainers"][1]["resources"] = {"requests": {"cpu": "0.5", "memory": str(768 * 2**20)}}
    pod["containers"][0].pop("resources")
    live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    live["status"] = {"replicas": 1}
    return live


def test_what_the_server_adds_is_no_difference(wanted, live):
    assert first_difference(wanted, live) == ""


def test_things_that_others_add_to_lists_are_no_difference(wanted, live):
    live["spec"]["template"]["spec"]["containers"].append({"name": "mesh", "image": "x"})
    live["spec"]["template"]["spec"]["volumes"].insert(0, {"name": "mesh", "emptyDir": {}})
    assert first_difference(wanted, live) == ""


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda spec: spec.update(replicas=3), "spec.replicas"),
        (lambda spec: spec["template"]["spec"]["containers"][0].update(image="x"), "image"),
        (lambda spec: spec["template"]["spec"]["containers"].clear(), "containers"),
        (lambda spec: spec["template"]["spec"]["containers"][0]["args"].append("--x"), "args"),
        (lambda spec: spec["selector"]["matchLabels"].clear(), "matchLabels"),
    ],
)
def test_a_change_is_found_and_named(wanted, live, change, path):
    change(live["spec"])
    assert path in first_difference(wanted, live)


def test_what_is_no_longer_wanted_shows_in_the_hash(wanted, live):
    live["metadata"]["annotations"]["serving.sagesched.io/applied-hash"] = "before"
    assert "applied-hash" in first_difference(wanted, live)


def an_object(**spec):
    return {"metadata": {"annotations": {"serving.sagesched.io/applied-hash": "h"}}, "spec": spec}


@pytest.mark.parametrize(
    ("wanted", "live", "path"),
    [
        ({"selector": {"a": "1"}}, {"selector": {"a": "1", "b": "2"}}, "spec.selector.b"),
        (
            {"selector": {"matchLabels": {"a": "1"}}},
            {"selector": {"matchLabels": {"a": "1", "b": "2"}}},
            "spec.selector.matchLabels.b",
        ),
        (
            {"ingress": [{"from": [{"namespaceSelector": {}}]}]},
            {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"a": "1"}}}]}]},
            "spec.ingress[0].from[0].namespaceSelector.matchLabels",
        ),
        (
            {"ingress": [{"ports": [{"protocol": "TCP", "port": 8001}]}]},
            {"ingress": [{"ports": [{"protocol": "TCP", "port": 8001}, {"protocol": "TCP", "port": 8002}]}]},
            "spec.ingress[0].ports",
        ),
        (
            {"ingress": [{"from": [{"podSelector": {}}]}]},
            {"ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}]}]},
            "spec.ingress[0].from[0].namespaceSelector",
        ),
        (
            {"ingress": [{"ports": [{"protocol": "TCP", "port": 8001}]}]},
            {"ingress": [{"ports": [{"protocol": "TCP", "port": 8001, "endPort": 65535}]}]},
            "spec.ingress[0].ports[8001].endPort",
        ),
        (
            {"egress": [{"ports": [{"port": 53}]}]},
            {"egress": [{"ports": [{"port": 53}], "to": [{"podSelector": {}}]}]},
            "spec.egress[0].to",
        ),
        ({"egress": [{"ports": []}]}, {"egress": [{"ports": []}, {}]}, "spec.egress"),
    ],
)
def test_nobody_widens_or_narrows_whom_an_object_means(wanted, live, path):
    assert first_difference(an_object(**wanted), an_object(**wanted)) == ""
    assert first_difference(an_object(**wanted), an_object(**live)) == path


def test_ports_of_two_protocols_are_told_apart():
    def policy(*protocols):
        ports = [{"protocol": protocol, "port": 53} for protocol in protocols]
        return {
            "metadata": {"annotations": {"serving.sagesched.io/applied-hash": "h"}},
            "spec": {"egress": [{"ports": ports}]},
        }

    assert first_difference(policy("UDP", "TCP"), policy("UDP", "TCP")) == ""
    assert first_difference(policy("UDP", "TCP"), policy("UDP", "UDP")) == "spec.egress[0].ports[53].protocol"
