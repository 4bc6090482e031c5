"""`status.scaling` says why there are so many pods, and seldom changes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from builders import a_pod, a_report, the_pool

from sagesched_operator.api.lifecycle import ScalingSpec
from sagesched_operator.build.desired import build
from sagesched_operator.build.surroundings import SCALED_OBJECT, Capabilities, Installation
from sagesched_operator.control.buckets import Buckets
from sagesched_operator.control.observed import Observed
from sagesched_operator.control.scaling_status import BACKLOGS, load_steps, scaling_status
from sagesched_operator.control.signal import Signal, signal_of

HPA = {"actuator": "HPA", "minReplicas": 2, "maxReplicas": 4, "targetBacklogSeconds": 10}


def a_signal(backlog_s=0.0, **about):
    return Signal(wanted=1.0, backlog_s=backlog_s, backlog_per_pod_s=backlog_s, **about)


def section(change, signal=None, *, without=(), before="", **observed):
    pool = the_pool(change, status={"scaling": {"backlog": before}})
    capabilities = Capabilities(Capabilities().kinds - set(without))
    desired = build(pool, Installation(), capabilities)
    return scaling_status(pool, desired, Observed(signal=signal or a_signal(), **observed))


@pytest.mark.parametrize(
    ("change", "signal", "reason", "words"),
    [
        ({}, a_signal(), "Fixed", "scaling.actuator is None"),
        ({"suspend": True, "scaling": HPA}, a_signal(), "Suspended", "spec.suspend"),
        ({"scaling": HPA}, "no pod is ready", "SignalUnknown", "HPA keeps the pods there are: no pod"),
        ({"scaling": HPA, "replicas": 3}, a_signal(6.0), "WithinTarget", "(p80) is below the target of 10 s"),
        (
            {"scaling": HPA, "replicas": 2},
            a_signal(),
            "AtMinReplicas",
            "below half of the target of 10 s; fewer",
        ),
        ({"scaling": HPA, "replicas": 3}, a_signal(11.0), "BacklogAboveTarget", "is above the target"),
        (
            {"scaling": HPA, "replicas": 4},
            a_signal(30.0),
            "AtMaxReplicas",
            "more than twice the target of 10 s; more",
        ),
        (
            {"scaling": HPA, "replicas": 3},
            a_signal(11.0, num_warming=1),
            "PodsWarming",
            "credited with their share",
        ),
        (
            {"scaling": HPA, "replicas": 3},
            a_signal(waits_too_long=True),
            "WaitTooLong",
            "the oldest request has waited longer than 60 s; the predicted backlog",
        ),
        ({"scaling": HPA, "replicas": 4}, a_signal(waits_too_long=True), "AtMaxReplicas", "maxReplicas, 4"),
    ],
)
def test_it_says_why(change, signal, reason, words):
    told = section(change, signal)
    assert told["reason"] == reason
    assert words in told["message"]


def test_an_actuator_that_is_missing_or_fails_is_told():
    keda = {"scaling": HPA | {"actuator": "KEDA"}}
    assert section(keda, without=[SCALED_OBJECT])["reason"] == "ActuatorMissing"
    failing = {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no metrics"}]}}
    told = section(keda, scaler=failing)
    assert (told["reason"], told["message"]) == (
        "ActuatorFailing",
        "KEDA keeps the pods there are: no metrics",
    )


def test_the_credit_in_words_is_the_signals():
    pods = [a_pod(), a_pod("w", ready=False)]
    signal = signal_of(ScalingSpec(), pods, {"a": a_report(backlog_s=50.0, oldest_wait_s=61.0)}, 0.0)
    assert (signal.num_warming, signal.waits_too_long) == (1, True)


def test_a_range_is_left_only_well_beyond_its_edge():
    assert [section({}, a_signal(11.0), before=before)["backlog"] for before in ("", "BelowTarget")] == [
        "AboveTarget",
        "BelowTarget",
    ]
    assert section({}, a_signal(9.0), before="AboveTarget")["backlog"] == "AboveTarget"
    assert section({}, a_signal(7.0), before="AboveTarget")["backlog"] == "BelowTarget"


@given(st.floats(0, 100), st.floats(0, 100), st.sampled_from(["", *BACKLOGS.names]))
def test_whenever_the_range_may_change_the_pool_is_looked_at_again(one_s, other_s, before):
    if BACKLOGS.of(one_s / 10, before) != BACKLOGS.of(other_s / 10, before):
        assert load_steps(a_signal(one_s), 10.0) != load_steps(a_signal(other_s), 10.0)


@given(st.lists(st.floats(0, 1), min_size=2), st.floats(0.01, 0.3))
def test_what_moves_less_than_the_slack_changes_its_range_once_at_most(values, slack):
    edge = 0.5
    buckets = Buckets((edge,), ("low", "high"), slack)
    near = [edge * (1 + (2 * value - 1) * slack * 0.99) for value in values]
    told, before = [], ""
    for value in near:
        before = buckets.of(value, before)
        told.append(before)
    assert len(set(told)) == 1
