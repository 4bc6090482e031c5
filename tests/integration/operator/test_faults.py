"""Trouble between operator and API server: it converges afterwards, and asks little meanwhile."""

from __future__ import annotations

import errno
import itertools
import json
import time
import urllib.error
import urllib.request

import pytest
import yaml
from fault_proxy import FaultProxy, Trouble
from operator_process import ROOT, SYSTEM, OperatorProcess, Space, apply_definition, free_port, install, until
from pool_cases import SMALLEST, merged

from cluster.control_plane import ControlPlane
from cluster.foreign_kinds import ensure_foreign_kinds
from sagesched_operator.control.lease import LEASE_S, TRY_S

_NUMBERS = itertools.count(1)
CHART = ROOT / "charts" / "sagesched"
DOWN_S = 60
SOON_S = 3.0
"""For an operator to end by itself, and to give back its lease."""


@pytest.fixture(scope="module")
def plane(cluster_tools):
    """A control plane of this file's own: its API server is taken away."""
    with ControlPlane(tools=cluster_tools, schedules=False) as plane:
        install(plane)
        yield plane


@pytest.fixture
def own(plane):
    name = f"faults-{next(_NUMBERS)}"
    plane.kubectl("create", "namespace", name)
    yield Space(plane, name)
    plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def start(plane, tmp_path):
    started = []

    def start(kubeconfig=None, *options):
        log = tmp_path / f"operator-{len(started)}.log"
        started.append(OperatorProcess(kubeconfig or plane.kubeconfig, log, *options))
        return started[-1]

    yield start
    for operator in started:
        operator.stop()


@pytest.fixture
def proxy(plane):
    token = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]["token"]
    proxy = FaultProxy(plane.url, token)
    yield proxy
    proxy.close()


def answer(code, reason, message="made up"):
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def writes_to(kind, space):
    return lambda method, path: method == "PATCH" and f"/namespaces/{space.name}/{kind}/" in path


@pytest.mark.parametrize("hard", [True, False])
def test_when_the_leader_ends_another_leads(own, start, hard):
    first = start()
    first.wait_leading()
    second = start()
    second.wait_ready()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    assert second.metric("sagesched_operator_reconciles_total") is None
    ended_at = time.monotonic()
    if hard:
        first.kill()
    else:
        assert first.stop() == 0
        assert time.monotonic() - ended_at < SOON_S
    second.wait_leading()
    assert time.monotonic() - ended_at < (LEASE_S + TRY_S + 10 if hard else TRY_S + SOON_S)
    own.apply(merged(SMALLEST, {"replicas": 2}))
    until(lambda: own.get("deployment", "llama")["spec"]["replicas"] == 2)


def test_two_operators_at_once_write_once(own, start):
    both = [start(), start()]
    for operator in both:
        operator.wait_ready()
    until(lambda: any(operator.metric("sagesched_operator_leader") == 1 for operator in both))
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    time.sleep(2)
    writing = [
        operator.metric('sagesched_operator_api_requests_total{code="201",kind="Service"')
        for operator in both
    ]
    assert sorted(writing, key=str) == [1.0, None]


def test_a_restart_writes_nothing(own, start):
    first = start()
    first.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.condition("Ready"))
    # What Kubernetes' own controllers write, the operator answers.
    until(lambda: own.get("deployment", "llama").get("status", {}).get("unavailableReplicas") == 1)
    settled_after(own, 3)
    assert first.stop() == 0
    # As who the operators of this file come; Kubernetes' own controllers may write when they like.
    before = len(own.plane.requests("admin"))
    second = start()
    second.wait_leading()
    until(lambda: (second.metric("sagesched_operator_reconciles_total") or 0) >= 1)
    time.sleep(2)
    since = own.plane.requests("admin")[before:]
    assert [one for one in since if one.writes and one.namespace == own.name] == []
    assert any(one.user == "admin" for one in since), "the operator comes as somebody else"


def settled_after(own, quiet_s):
    """Wait until nobody, Kubernetes' own controllers included, has written to the namespace for so long."""

    def num_writes():
        return sum(one.writes and one.namespace == own.name for one in own.plane.requests())

    def is_quiet():
        before = num_writes()
        time.sleep(quiet_s)
        return num_writes() == before

    until(is_quiet)


def test_an_operator_that_is_down_loses_nothing(own, start):
    first = start()
    first.wait_leading()
    own.apply(SMALLEST)
    own.apply(SMALLEST, name="gone")
    until(lambda: own.find("deployment", "gone") and own.find("deployment", "llama"))
    assert first.stop() == 0
    own.kubectl("delete", "llmsp", "gone", "--timeout=20s")  # nothing holds it up
    until(lambda: not own.find("deployment", "gone"))
    own.kubectl("delete", "pdb", "llama")
    own.apply(merged(SMALLEST, {"replicas": 2}))
    second = start()
    second.wait_leading()
    until(lambda: own.find("pdb", "llama") and own.get("deployment", "llama")["spec"]["replicas"] == 2)
    assert not own.find("deployment", "gone")


def test_watches_that_are_cut_go_on_where_they_were(own, proxy, start, tmp_path):
    operator = start(proxy.kubeconfig(tmp_path / "config"))
    operator.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    lists = len([path for method, path in proxy.seen if method == "GET" and "limit=500" in path])
    proxy.end_watches()
    own.kubectl("delete", "service", "llama")
    until(lambda: own.find("service", "llama"))
    assert len([path for method, path in proxy.seen if method == "GET" and "limit=500" in path]) == lists


def test_a_version_that_is_too_old_is_listed_again(own, proxy, start, tmp_path):
    operator = start(proxy.kubeconfig(tmp_path / "config"))
    operator.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    proxy.make(
        Trouble(
            lambda method, path: "watch=" in path and "/services" in path,
            410,
            answer(410, "Expired", "too old resource version"),
        )
    )
    proxy.end_watches()
    own.kubectl("delete", "service", "llama")
    until(lambda: own.find("service", "llama"))


@pytest.mark.parametrize(
    ("code", "reason", "headers", "least_s"),
    [
        (500, "InternalError", {}, 0.0),
        (503, "ServiceUnavailable", {}, 0.0),
        (409, "Conflict", {}, 0.0),
        (429, "TooManyRequests", {"Retry-After": "2"}, 2.0),
    ],
)
def test_answers_that_pass_are_tried_again(own, proxy, start, tmp_path, code, reason, headers, least_s):
    operator = start(proxy.kubeconfig(tmp_path / "config"))
    operator.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    trouble = proxy.make(Trouble(writes_to("deployments", own), code, answer(code, reason), headers, left=3))
    began_at = time.monotonic()
    own.apply(merged(SMALLEST, {"replicas": 2}))
    until(lambda: own.get("deployment", "llama")["spec"]["replicas"] == 2)
    assert trouble.left == 0
    assert time.monotonic() - began_at >= 3 * least_s
    tries = [path for method, path in proxy.seen if writes_to("deployments", own)(method, path)]
    assert len(tries) <= 1 + 3 + 1


def test_what_is_refused_for_good_is_told_and_not_tried_again_and_again(own, proxy, start, tmp_path):
    operator = start(proxy.kubeconfig(tmp_path / "config"))
    operator.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    refused = answer(422, "Invalid", "Deployment is invalid: spec: made up")
    trouble = proxy.make(Trouble(writes_to("deployments", own), 422, refused, left=1000))
    own.apply(merged(SMALLEST, {"replicas": 2}))
    stalled = own.wait_condition("Stalled", status="True")
    assert stalled["reason"] == "SpecRejected"
    assert "spec: made up" in stalled["message"]
    time.sleep(5)
    assert trouble.left >= 1000 - 5
    trouble.left = 0
    own.apply(merged(SMALLEST, {"replicas": 3}))
    own.wait_condition("Stalled", status="False")
    assert own.get("deployment", "llama")["spec"]["replicas"] == 3


def test_an_object_that_pods_can_do_without_holds_up_no_other(own, proxy, start, tmp_path):
    operator = start(proxy.kubeconfig(tmp_path / "config"))
    operator.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    trouble = proxy.make(
        Trouble(writes_to("horizontalpodautoscalers", own), 500, answer(500, "InternalError"), left=1000)
    )
    own.apply(merged(SMALLEST, {"replicas": 2, "scaling": {"actuator": "HPA", "maxReplicas": 3}}))
    until(lambda: own.get("deployment", "llama")["spec"]["replicas"] == 2)
    degraded = own.wait_condition("Degraded", status="True")
    assert degraded["reason"] == "ObjectFailed"
    assert "HorizontalPodAutoscaler llama cannot be written: made up" in degraded["message"]
    trouble.left = 0
    own.apply(merged(SMALLEST, {"replicas": 3, "scaling": {"actuator": "HPA", "maxReplicas": 3}}))
    until(lambda: own.find("hpa", "llama"))
    own.wait_condition("Degraded", status="False")


def test_a_policy_whose_webhook_does_not_answer_is_told(plane, own, start):
    """As when the last node that Kyverno ran on is gone."""
    webhook = {
        "name": "policies.example.com",
        "clientConfig": {"url": "https://127.0.0.1:9/validate"},
        "rules": [
            {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": own.name}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
    }
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "policies"},
        "webhooks": [webhook],
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    try:
        start().wait_leading()
        own.apply(SMALLEST)
        degraded = own.wait_condition("Degraded", status="True")
        assert degraded["reason"] == "ObjectFailed"
        assert "Deployment llama cannot be written" in degraded["message"]
        assert 'failed calling webhook "policies.example.com"' in degraded["message"]
        assert own.find("service", "llama")  # the rest is made
        assert not own.names("controllerrevision")  # nothing has run
    finally:
        plane.kubectl("delete", "validatingwebhookconfiguration", "policies")
    until(lambda: own.find("deployment", "llama"), 45)
    own.wait_condition("Degraded", status="False")


def test_a_scaler_gives_way_before_another_comes(plane, own, proxy, start, tmp_path):
    """KEDA's webhook refuses to scale what a HorizontalPodAutoscaler has."""
    for file in ensure_foreign_kinds():
        if "keda.sh_scaledobjects" in file.name:
            plane.kubectl("apply", "--server-side", "-f", str(file))
    plane.kubectl("wait", "crd/scaledobjects.keda.sh", "--for=condition=Established", "--timeout=30s")
    operator = start(proxy.kubeconfig(tmp_path / "config"))
    operator.wait_leading()
    own.apply(merged(SMALLEST, {"scaling": {"actuator": "HPA", "maxReplicas": 3}}))
    until(lambda: own.find("hpa", "llama"))

    def comes_second(method, path):
        has_gone = any(
            method == "DELETE" and "/horizontalpodautoscalers/" in path for method, path in proxy.seen
        )
        return writes_to("scaledobjects", own)(method, path) and not has_gone

    refused = answer(403, "Forbidden", "is already managed by the hpa 'llama'")
    trouble = proxy.make(Trouble(comes_second, 403, refused, left=1000))
    own.apply(merged(SMALLEST, {"scaling": {"actuator": "KEDA", "maxReplicas": 3}}))
    until(lambda: own.find("scaledobject", "llama"))
    assert not own.find("hpa", "llama")
    assert trouble.left == 1000


def test_what_must_not_be_deleted_is_told(own, proxy, start, tmp_path):
    operator = start(proxy.kubeconfig(tmp_path / "config"))
    operator.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("networkpolicy", "llama"))
    refused = answer(403, "Forbidden", "policies stay, says a webhook")
    proxy.make(
        Trouble(
            lambda method, path: method == "DELETE" and "/networkpolicies/" in path, 403, refused, left=1000
        )
    )
    own.apply(merged(SMALLEST, {"security": {"networkPolicy": "Open"}}))
    stalled = own.wait_condition("Stalled", status="True")
    assert (stalled["reason"], stalled["message"]) == ("NotAllowed", "policies stay, says a webhook")
    own.apply(merged(SMALLEST, {"security": {"networkPolicy": "Strict"}}))
    own.wait_condition("Stalled", status="False")


def test_a_pool_shrinks_although_its_pods_must_not_be_written(own, proxy, start, tmp_path):
    """A policy of later than the pods refuses every change of theirs, an annotation too."""
    operator = start(proxy.kubeconfig(tmp_path / "config"))
    operator.wait_leading()
    own.apply(merged(SMALLEST, {"replicas": 2}))
    own.wait_made(2)
    for pod in own.pods():
        own.make_ready(pod)
    own.wait_condition("Ready", status="True")
    proxy.make(Trouble(writes_to("pods", own), 403, answer(403, "Forbidden", "no such image"), left=1000))
    own.apply(merged(SMALLEST, {"replicas": 1}))
    until(lambda: own.get("deployment", "llama")["spec"]["replicas"] == 1)
    own.wait_status(lambda status: status["replicas"] == 1)


def test_a_namespace_without_rights_is_nothing_to_the_others(plane, own, start):
    """A team may take the operator's rights away in its namespace, or delete that."""
    rendered = plane.run(
        *("helm", "template", "teams", str(CHART), "--namespace", SYSTEM, "--set", "fullnameOverride=teams"),
        *("--set", f"watchNamespaces={{{own.name},closed}}", "--set", "rbac.aggregate=false"),
        *("--show-only", "templates/rbac.yaml", "--show-only", "templates/serviceaccount.yaml"),
    ).stdout
    plane.kubectl("create", "namespace", "closed")
    plane.kubectl("apply", "-f", "-", stdin=rendered)
    plane.kubectl("-n", "closed", "delete", "rolebinding", "teams")
    options = ("--lease-name", "teams", "--namespace", own.name, "--namespace", "closed")
    operator = start(plane.kubeconfig_of(SYSTEM, "teams"), *options)
    operator.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    plane.kubectl("apply", "-f", "-", stdin=rendered)
    assert operator.exit_code(wait_s=60) == 0  # to be started anew
    start(plane.kubeconfig_of(SYSTEM, "teams"), *options).wait_leading()
    closed = Space(plane, "closed")
    closed.apply(SMALLEST)
    until(lambda: closed.find("deployment", "llama"))


def test_kubelet_reaches_the_operator_of_a_pod_with_nothing_but_ipv6(start):
    port = free_port()
    start(None, "--web-address", f"0.0.0.0:{port}")

    def answers():
        try:
            with urllib.request.urlopen(f"http://[::1]:{port}/healthz", timeout=5):
                return True
        except urllib.error.URLError as error:
            # A machine without IPv6 has no such address at all.
            return getattr(error.reason, "errno", None) == errno.EADDRNOTAVAIL

    until(answers)


def test_the_definition_may_come_later_than_the_operator(plane, own, start):
    plane.kubectl("delete", "crd", "llmservingpools.serving.sagesched.io")
    first, second = start(), start()
    words = "waiting for its CustomResourceDefinition"
    until(lambda: all(words in operator.log.read_text() for operator in (first, second)))
    assert second.answers("/healthz")
    assert not second.answers("/readyz")
    ended_at = time.monotonic()
    assert first.stop() == 0
    assert time.monotonic() - ended_at < SOON_S
    apply_definition(plane)
    second.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))


def test_an_api_server_that_is_away_for_a_minute(plane, own, start):
    """The last one here: Kubernetes' own controllers need a minute more to come back."""
    operator = start()
    operator.wait_leading()
    own.apply(SMALLEST)
    until(lambda: own.find("deployment", "llama"))
    plane.stop_api_server()
    before = operator.metric("sagesched_operator_api_requests_total") or 0
    time.sleep(DOWN_S)
    assert operator.answers("/healthz")
    assert operator.metric("sagesched_operator_leader") == 0  # another might lead by now
    asked = (operator.metric("sagesched_operator_api_requests_total") or 0) - before
    assert asked < 4 * DOWN_S, f"{asked} requests in a minute"
    plane.start_api_server()
    own.kubectl("delete", "service", "llama")
    own.apply(merged(SMALLEST, {"runtime": {"image": "example.com/triton:2"}}))
    until(lambda: operator.metric("sagesched_operator_leader") == 1)
    until(lambda: own.find("service", "llama"), wait_s=60)
    until(lambda: own.image() == "example.com/triton:2", wait_s=60)
