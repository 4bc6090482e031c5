"""What a pool's status says, and when it is the same."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from builders import a_deployment, a_pod, a_report, the_pool

from sagesched_gateway.status import PredictorStatus
from sagesched_operator.admission.structural import complaints
from sagesched_operator.api.status_schema import status_schema
from sagesched_operator.build.desired import build
from sagesched_operator.build.settings import settings_digest
from sagesched_operator.build.surroundings import Capabilities, Installation
from sagesched_operator.control.events import notable
from sagesched_operator.control.observed import Observed
from sagesched_operator.control.reports import summarize
from sagesched_operator.control.signal import Signal
from sagesched_operator.control.status import compute_status

READY = a_deployment(replicas=1, readyReplicas=1, updatedReplicas=1, availableReplicas=1)


def status_of(pool=None, *, now="2026-01-01T00:00:00Z", **observed):
    pool = pool or the_pool()
    desired = build(pool, Installation(), Capabilities())
    return compute_status(pool, desired, Observed(**observed), Installation(), now=now)


def conditions(status):
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def condition(status, type_):
    return next(one for one in status["conditions"] if one["type"] == type_)


def test_whatever_others_say_the_api_server_takes_the_status():
    """A HorizontalPodAutoscaler hands on what the metrics adapter answers, were it a page of HTML."""
    long = 2000 * "x"
    failing = {"type": "ScalingActive", "status": "False", "message": long}
    status = status_of(
        the_pool({"scaling": {"actuator": "HPA", "maxReplicas": 3}}),
        deployment={"status": {"conditions": [{"type": "ReplicaFailure", "message": long}]}, "metadata": {}},
        pods=[a_pod(), a_pod("b", ready=False, message=long)],
        signal=Signal(wanted=0.0, backlog_s=0.0, backlog_per_pod_s=0.0),
        scaler={"status": {"conditions": [failing]}},
        stalled=("SpecRejected", long),
        troubles=[("ObjectFailed", long)],
    )
    assert status["scaling"]["reason"] == "ActuatorFailing"
    assert list(complaints(status, status_schema(), "status")) == []


def test_all_is_well():
    pods = [a_pod()]
    digest = settings_digest(build(the_pool(), Installation(), Capabilities()).settings)
    status = status_of(
        deployment=READY,
        pods=pods,
        summary=summarize(pods, {"a": a_report(digest=digest)}),
        signal=Signal(wanted=0.0, backlog_s=0.0, backlog_per_pod_s=0.0),
    )
    assert conditions(status) == {
        "Ready": ("True", "AllReplicasReady"),
        "Progressing": ("False", "Settled"),
        "Degraded": ("False", "NoProblem"),
        "Stalled": ("False", "NoProblem"),
        "ModelReady": ("True", "AllReplicasReady"),
        "ScalingActive": ("False", "ScalingOff"),
        "PredictorCalibrated": ("True", "PredictorReady"),
        "SchedulingDegraded": ("False", "PolicyAsConfigured"),
        "BacklogSaturated": ("False", "WithinTarget"),
    }
    assert status["policyInEffect"] == "gittins-boost"
    assert status["settingsInEffect"] is True
    assert status["predictor"] == {"mode": "HistoryOnly", "history": "1k+"}
    assert status["effective"]["inFlight"] == 10
    assert status["scaling"]["backlog"] == "BelowHalf"


def test_settings_are_in_effect_once_every_ready_gateway_says_so():
    pods = [a_pod("a"), a_pod("b"), a_pod("c", ready=False)]
    digest = settings_digest(build(the_pool(), Installation(), Capabilities()).settings)
    says = a_report(digest=digest)

    def in_effect(**reports):
        return status_of(pods=pods, summary=summarize(pods, reports)).get("settingsInEffect")

    assert in_effect(a=says, b=says) is True
    assert in_effect(a=says) is False  # the other one has said nothing
    # Its file holds them, and they wait for a restart.
    assert in_effect(a=says, b=a_report(digest="old", file_digest=digest)) is False


def test_coverage_is_told_in_ranges_of_the_pod_with_the_smallest():
    def coverage(*shares, before=None):
        pods = [a_pod(str(number)) for number in range(len(shares))]
        said = [PredictorStatus(mode="Shipped", state="ready", coverage_90=share) for share in shares]
        reports = {pod.uid: a_report(predictor=one) for pod, one in zip(pods, said, strict=True)}
        pool = the_pool(status={"predictor": {"coverage": before}} if before else {})
        return status_of(pool, pods=pods, summary=summarize(pods, reports))["predictor"].get("coverage")

    assert coverage(None, None) is None
    assert coverage(0.91, None) == "0.85-0.95"
    assert coverage(0.91, 0.64) == "0.5-0.7"
    assert coverage(0.843, before="0.85-0.95") == "0.85-0.95"  # not far enough beyond the edge
    assert coverage(0.80, before="0.85-0.95") == "0.7-0.85"


def test_an_actuator_that_does_not_scale_is_told_in_its_own_words():
    pool = the_pool({"scaling": {"actuator": "HPA", "maxReplicas": 3}})
    known = Signal(wanted=0.0, backlog_s=0.0, backlog_per_pod_s=0.0)
    failing = {"type": "ScalingActive", "status": "False", "message": "unable to get external metric"}
    scaler = {"status": {"conditions": [{"type": "AbleToScale", "status": "True"}, failing]}}
    told = condition(status_of(pool, signal=known, scaler=scaler), "ScalingActive")
    assert (told["status"], told["reason"]) == ("False", "ActuatorFailing")
    assert told["message"] == "unable to get external metric"
    works = {"status": {"conditions": [failing | {"status": "True"}]}}
    assert condition(status_of(pool, signal=known, scaler=works), "ScalingActive")["status"] == "True"


def test_a_deployment_that_has_not_looked_yet_is_not_ready():
    stale = READY | {"metadata": {"generation": 2}}
    assert conditions(status_of(deployment=stale))["Ready"] == ("False", "Starting")


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        (
            ("WaitingForNode", "waiting for a GPU: 3 Insufficient nvidia.com/gpu"),
            "WaitingForNode",
            "waiting for a GPU",
        ),
        (("ImagePullFailed", "image x of triton cannot be pulled"), "ImagePullFailed", "cannot be pulled"),
    ],
)
def test_the_first_cause_is_named(pod, reason, words):
    first = replace(a_pod(ready=False), reason=pod[0], message=pod[1])
    status = status_of(
        deployment=a_deployment(replicas=1, updatedReplicas=1), pods=[a_pod("z", ready=False), first]
    )
    assert conditions(status)["Ready"] == ("False", reason)
    assert words in condition(status, "Ready")["message"]
    assert words in condition(status, "ModelReady")["message"]


def test_an_engine_that_does_not_get_ready_is_told_in_the_gateways_words():
    pods = [a_pod(ready=False)]
    summary = summarize(pods, {"a": a_report(ready=False, reason="Triton is not ready yet")})
    status = status_of(deployment=a_deployment(replicas=1, updatedReplicas=1), pods=pods, summary=summary)
    assert condition(status, "Ready")["reason"] == "EngineNotReady"
    assert condition(status, "Ready")["message"] == "Triton is not ready yet"


def test_rolling_and_scaling_are_told_apart():
    rolling = a_deployment(replicas=3, updatedReplicas=1, availableReplicas=2)
    assert conditions(status_of(the_pool({"replicas": 2}), deployment=rolling))["Ready"][1] == "RollingOut"
    out = a_deployment(replicas=3, updatedReplicas=3, availableReplicas=1)
    assert conditions(status_of(the_pool({"replicas": 3}), deployment=out))["Ready"][1] == "ScalingOut"
    shrinking = a_deployment(replicas=3, updatedReplicas=3, availableReplicas=3)
    assert conditions(status_of(deployment=shrinking))["Ready"][1] == "ScalingIn"


def test_suspended_is_settled_but_serves_nothing():
    status = status_of(the_pool({"suspend": True}), deployment=a_deployment())
    assert conditions(status)["Ready"] == ("True", "Suspended")
    assert conditions(status)["ModelReady"] == ("False", "Suspended")


def test_a_rollout_without_progress_and_pods_that_cannot_be_made():
    stuck = a_deployment(replicas=1, updatedReplicas=1)
    stuck["status"]["conditions"] = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]
    assert conditions(status_of(deployment=stuck))["Degraded"] == ("True", "RolloutTimedOut")
    refused = a_deployment()
    refused["status"]["conditions"] = [{"type": "ReplicaFailure", "message": "exceeded quota"}]
    degraded = condition(status_of(deployment=refused), "Degraded")
    assert degraded["reason"] == "NotAllowed"
    assert "exceeded quota" in degraded["message"]


def test_how_a_pod_ends_is_no_trouble():
    over = replace(
        a_pod("old", is_ending=True, ready=False), reason="ContainerCrashing", message="exit code 137"
    )
    assert conditions(status_of(deployment=READY, pods=[a_pod(), over]))["Degraded"] == ("False", "NoProblem")
    starting = a_deployment(replicas=1, updatedReplicas=1)
    told = condition(status_of(deployment=starting, pods=[over, a_pod(ready=False)]), "ModelReady")
    assert told["reason"] == "Starting"


def test_certificates_that_a_gateway_refuses_are_told():
    pods = [a_pod()]
    summary = summarize(pods, {"a": a_report(certificates="tls.key: is not the key")})
    degraded = condition(status_of(deployment=READY, pods=pods, summary=summary), "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "CertificateRefused")
    assert degraded["message"] == "tls.key: is not the key"


def test_another_policy_in_effect_is_told():
    pods = [a_pod()]
    summary = summarize(pods, {"a": a_report(policy="fcfs")})
    told = condition(status_of(deployment=READY, pods=pods, summary=summary), "SchedulingDegraded")
    assert told["status"] == "True"
    assert told["message"].startswith("policy fcfs")


def test_a_policy_that_cannot_work_on_this_engine_is_told():
    pods = [a_pod()]
    summary = summarize(pods, {"a": a_report(policy_note="the engine reserves ahead")})
    told = condition(status_of(deployment=READY, pods=pods, summary=summary), "SchedulingDegraded")
    assert (told["status"], told["message"]) == ("True", "the engine reserves ahead")


def test_a_predictor_on_another_device_is_told():
    pods = [a_pod()]
    predictor = PredictorStatus(mode="HistoryOnly", state="ready", provider="CPU", fallback="no GPU here")
    summary = summarize(pods, {"a": a_report(predictor=predictor)})
    told = condition(status_of(deployment=READY, pods=pods, summary=summary), "PredictorCalibrated")
    assert (told["status"], told["reason"]) == ("False", "DeviceFallback")
    assert "no GPU here" in told["message"]


def test_predictions_that_do_not_hold_are_told_in_the_gateways_words():
    pods = [a_pod()]
    why = "42 % of answers are inside their 80 % interval"
    predictor = PredictorStatus(mode="Shipped", state="ready", calibrated=False, reason=why, coverage_90=0.42)
    status = status_of(
        deployment=READY, pods=pods, summary=summarize(pods, {"a": a_report(predictor=predictor)})
    )
    told = condition(status, "PredictorCalibrated")
    assert (told["status"], told["reason"], told["message"]) == ("False", "PredictorOffTarget", why)
    assert status["predictor"]["coverage"] == "0-0.5"


def test_saturation_ends_only_below_half_of_the_target():
    def saturated(pool, backlog_s):
        signal = Signal(wanted=1.0, backlog_s=backlog_s, backlog_per_pod_s=backlog_s)
        return status_of(pool, deployment=READY, signal=signal)

    assert conditions(saturated(the_pool(), 9.0))["BacklogSaturated"][0] == "False"
    above = saturated(the_pool(), 11.0)
    assert conditions(above)["BacklogSaturated"] == ("True", "BacklogAboveTarget")
    pool = the_pool(status=above)
    assert conditions(saturated(pool, 9.0))["BacklogSaturated"][0] == "True"
    assert conditions(saturated(pool, 4.0))["BacklogSaturated"][0] == "False"
    may_grow = the_pool({"scaling": {"actuator": "HPA", "maxReplicas": 3}})
    assert conditions(saturated(may_grow, 99.0))["BacklogSaturated"][0] == "False"


def test_nothing_moves_while_nothing_changes():
    first = status_of(deployment=READY)
    again = status_of(the_pool(status=first), deployment=READY, now="2026-06-06T06:06:06Z")
    assert again == first
    other = status_of(the_pool(status=first), now="2026-06-06T06:06:06Z")
    assert condition(other, "Ready")["lastTransitionTime"] == "2026-06-06T06:06:06Z"
    assert condition(other, "Stalled")["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_events_tell_changes_worth_telling():
    fine = status_of(deployment=READY)["conditions"]
    stalled = status_of(stalled=("SpecRejected", "no"))["conditions"]
    assert list(notable([], fine)) == [
        ("Normal", "AllReplicasReady", "every pod is there and takes requests")
    ]
    assert list(notable(fine, stalled)) == [("Warning", "SpecRejected", "no")]
    assert list(notable(stalled, stalled)) == []
