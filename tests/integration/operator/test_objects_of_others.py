"""Objects that are not the pool's, fields that others write, and others that write what is the pool's."""

from __future__ import annotations

import time

import pytest
from operator_process import OperatorProcess, until
from pool_cases import SMALLEST, merged

pytestmark = pytest.mark.usefixtures("operator")


def test_fields_of_others_are_left_alone(space):
    space.apply(SMALLEST)
    space.wait_made()
    space.kubectl("annotate", "service", "llama", "example.com/note=mine")
    space.apply(merged(SMALLEST, {"expose": {"serviceAnnotations": {"lb": "internal"}}}))
    until(lambda: space.get("service", "llama")["metadata"]["annotations"].get("lb") == "internal")
    assert space.get("service", "llama")["metadata"]["annotations"]["example.com/note"] == "mine"


def test_an_object_of_that_name_that_is_somebody_elses_stays_and_is_told(space):
    space.kubectl("create", "service", "clusterip", "llama", "--tcp=80:80")
    space.apply(SMALLEST)
    degraded = space.wait_condition("Degraded", reason="FieldConflict")
    assert "Service llama exists and is not ours" in degraded["message"]
    assert space.get("service", "llama")["spec"]["ports"][0]["port"] == 80
    assert space.find("deployment", "llama")  # the rest is made


@pytest.mark.parametrize(("kind", "name"), [("configmap", "llama-gateway"), ("serviceaccount", "llama")])
def test_what_has_few_fields_is_not_taken_over_either(space, kind, name):
    space.kubectl("create", kind, name)
    space.apply(SMALLEST)
    degraded = space.wait_condition("Degraded", reason="FieldConflict")
    assert f"{name} exists and is not ours: it was there before the pool" in degraded["message"]
    assert space.find("deployment", "llama")
    space.kubectl("delete", "llmsp", "llama")
    until(lambda: not space.find("deployment", "llama"))
    assert "ownerReferences" not in space.get(kind, name)["metadata"]


def test_pods_take_an_account_that_exists(space):
    space.kubectl("create", "serviceaccount", "llama")
    space.apply(merged(SMALLEST, {"podTemplate": {"serviceAccount": {"name": "llama"}}}))
    space.wait_made()
    assert space.condition("Degraded")["status"] == "False"
    assert space.pods()[0]["spec"]["serviceAccountName"] == "llama"
    assert "ownerReferences" not in space.get("serviceaccount", "llama")["metadata"]


def test_an_account_of_its_own_is_left_when_another_takes_its_place(space):
    space.apply(SMALLEST)
    space.wait_made()
    space.kubectl("create", "serviceaccount", "other")
    space.apply(merged(SMALLEST, {"podTemplate": {"serviceAccount": {"name": "other"}}}))
    until(lambda: "other" in [pod["spec"]["serviceAccountName"] for pod in space.pods()])
    assert space.condition("Degraded")["status"] == "False"
    assert space.find("serviceaccount", "llama")


def test_a_fight_is_noticed_and_paused(space):
    space.apply(SMALLEST)
    space.wait_made()
    for number in range(5):
        space.kubectl("scale", "deployment", "llama", f"--replicas={number + 3}")
        until(lambda: space.get("deployment", "llama")["spec"]["replicas"] == 1)
    space.kubectl("scale", "deployment", "llama", "--replicas=9")
    degraded = space.wait_condition("Degraded", reason="FieldConflict")
    assert "Deployment llama: spec.replicas is changed again and again by kubectl" in degraded["message"]
    time.sleep(1)
    assert space.get("deployment", "llama")["spec"]["replicas"] == 9


def test_two_operators_of_one_namespace_do_not_fight_without_end(installed, space, tmp_path):
    """Two releases that look after the same pools, each with a gateway of its own."""
    space.apply(SMALLEST)
    space.wait_made()
    other = OperatorProcess(
        installed.kubeconfig, tmp_path / "log", "--lease-name", "other", "--gateway-image", "gateway:2"
    )
    try:
        degraded = space.wait_condition("Degraded", reason="FieldConflict")
        assert "is changed again and again by another operator of pools" in degraded["message"]
        time.sleep(3)
        before = len(installed.requests())
        time.sleep(5)
        since = [one for one in installed.requests()[before:] if one.writes and one.namespace == space.name]
        assert len(since) < 5
    finally:
        other.stop()
