"""Figures are in engine seconds, over complete answers only."""

from __future__ import annotations

import math

import pytest

from sagesched_emulator.figures import figures, ratio
from sagesched_emulator.load_result import RequestTiming


def a_timing(ttlt_s: float, ttft_s: float = 0.5, due_at: float = 10.0) -> RequestTiming:
    return RequestTiming(
        id="r", due_at=due_at, sent_at=due_at, first_at=due_at + ttft_s, last_at=due_at + ttlt_s, num_chunks=2
    )


def test_wall_seconds_become_engine_seconds() -> None:
    f = figures([a_timing(2.0), a_timing(4.0)], time_scale=0.5)
    assert f.mean_ttlt_s == pytest.approx(6.0)
    assert f.mean_ttft_s == pytest.approx(1.0)
    assert (f.sent, f.completed, f.failed) == (2, 2, 0)


def test_percentiles_interpolate() -> None:
    f = figures([a_timing(float(n)) for n in range(101)], time_scale=1.0)
    assert (f.p50_ttlt_s, f.p95_ttlt_s, f.p99_ttlt_s) == pytest.approx((50, 95, 99))


def test_failures_count_but_are_not_timed() -> None:
    failed = RequestTiming(id="f", due_at=0.0, sent_at=0.0, error="UNAVAILABLE: gone")
    never_sent = RequestTiming(id="n", due_at=0.0, error="gave up after 1 s")
    f = figures([a_timing(2.0), failed, never_sent], time_scale=1.0)
    assert (f.sent, f.completed, f.failed) == (2, 1, 2)
    assert f.mean_ttlt_s == pytest.approx(2.0)


def test_without_answers_there_are_no_figures() -> None:
    f = figures([], time_scale=1.0)
    assert math.isnan(f.mean_ttlt_s)
    assert math.isnan(f.p99_ttft_s)


def test_ratio_of_nothing_is_nan() -> None:
    assert ratio(3.0, 2.0) == pytest.approx(1.5)
    assert math.isnan(ratio(3.0, 0.0))
    assert math.isnan(ratio(math.nan, 2.0))
