"""How many pods a pool wants."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from builders import a_pod, a_report

from sagesched_operator.api.lifecycle import ScalingSpec
from sagesched_operator.control.signal import FRESH_S, SignalUnknownError, signal_of

SCALING = ScalingSpec(target_backlog_seconds=10, max_wait_seconds=60)


def wanted(pods, reports, now=0.0, scaling=SCALING):
    return signal_of(scaling, pods, reports, now).wanted


def test_an_idle_pool_wants_nothing_and_a_busy_one_keeps_its_pods():
    pods = [a_pod("a"), a_pod("b")]
    assert wanted(pods, {"a": a_report(), "b": a_report()}) == 0
    assert wanted(pods, {"a": a_report(in_flight=10), "b": a_report(in_flight=5)}) == 1.5


def test_the_backlog_is_worth_pods_beside_those_that_are_busy():
    assert wanted([a_pod()], {"a": a_report(in_flight=10, backlog_s=20.0)}) == 3


def test_pods_on_their_way_are_credited_and_not_sent_away_again():
    report = {"a": a_report(in_flight=10, backlog_s=100.0)}
    warming = [a_pod(f"w{number}", ready=False) for number in range(10)]
    assert wanted([a_pod()], report) == 11
    assert wanted([a_pod(), *warming], report) == 11  # not more for the same backlog
    more = {"a": a_report(in_flight=10, backlog_s=200.0)}
    assert wanted([a_pod(), *warming], more) == 11  # twenty pods' worth, half of it on its way
    less = {"a": a_report(in_flight=10, backlog_s=30.0)}
    assert wanted([a_pod(), *warming], less) == 4


def test_a_request_that_waits_too_long_asks_for_one_pod_at_a_time():
    report = {"a": a_report(in_flight=10, oldest_wait_s=61.0)}
    assert wanted([a_pod()], report) == 2
    assert wanted([a_pod(), a_pod("w", ready=False)], report) == 1


@pytest.mark.parametrize("num_pods", [1, 9, 10, 30, 1000])
def test_a_scaler_that_overlooks_a_tenth_sees_a_request_that_waits_too_long(num_pods):
    pods = [a_pod(f"p{number}") for number in range(num_pods)]
    reports = {pod.uid: a_report(in_flight=10) for pod in pods} | {"p0": a_report(oldest_wait_s=61.0)}
    assert wanted(pods, reports) / num_pods > 1.1


def test_the_quantile_counts():
    report = {"a": a_report(backlog_s=5.0, backlog_p50_s=10.0, backlog_p90_s=40.0)}
    values = [
        signal_of(ScalingSpec(quantile=quantile), [a_pod()], report, 0.0).backlog_s
        for quantile in (0.5, 0.8, 0.9, 0.95)
    ]
    assert values[0] == pytest.approx(10)
    assert values[2] == pytest.approx(40)
    assert values == sorted(values)


def test_pods_that_have_not_told_count_as_the_others():
    pods = [a_pod("a"), a_pod("b")]
    assert wanted(pods, {"a": a_report(in_flight=10)}) == 2


@pytest.mark.parametrize(
    ("pods", "reports", "words"),
    [
        ([], {}, "no pod is ready"),
        ([a_pod(ready=False)], {"a": a_report()}, "no pod is ready"),
        ([a_pod()], {}, "0 of 1 gateways"),
        ([a_pod()], {"a": a_report(at=-FRESH_S - 1)}, "0 of 1 gateways"),
        ([a_pod("a"), a_pod("b"), a_pod("c")], {"a": a_report()}, "1 of 3 gateways"),
        ([a_pod(is_ending=True)], {"a": a_report()}, "no pod is ready"),
    ],
)
def test_what_is_not_known_is_an_error_and_never_0(pods, reports, words):
    with pytest.raises(SignalUnknownError, match=words):
        wanted(pods, reports)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(0, 1e4)), min_size=1, max_size=6),
    st.integers(0, 6),
    st.floats(0, 1e4),
)
def test_more_work_never_wants_fewer_pods(loads, num_warming, more_s):
    pods = [a_pod(str(number)) for number in range(len(loads))]
    pods += [a_pod(f"w{number}", ready=False) for number in range(num_warming)]
    reports = {str(n): a_report(in_flight=f, backlog_s=b) for n, (f, b) in enumerate(loads)}
    before = wanted(pods, reports)
    flying, waiting_s = loads[0]
    reports["0"] = a_report(in_flight=flying, backlog_s=waiting_s + more_s)
    assert wanted(pods, reports) >= before - 1e-9
