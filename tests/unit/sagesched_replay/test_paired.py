"""Intervals: they hold what they promise, and say so where nothing can be told."""

import math

import numpy as np
import pytest

from sagesched_replay.paired import Ratio, over_seeds, within_trace


def mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(values.mean())


def test_a_difference_common_to_all_seeds_is_no_noise() -> None:
    bases = [10.0, 50.0, 90.0, 20.0]  # seeds differ far more than policies
    ratio = over_seeds([0.9 * base for base in bases], bases)
    assert ratio.value == pytest.approx(0.9)
    assert not ratio.within_noise


def test_two_seeds_tell_nothing() -> None:
    ratio = over_seeds([1.0, 2.0], [2.0, 4.0])
    assert ratio.value == pytest.approx(0.5)
    assert math.isnan(ratio.low)
    assert not ratio.within_noise


def test_over_seeds_is_students_interval_of_the_log_ratio() -> None:
    ratio = over_seeds([1.1, 1.2, 1.3], [1.0, 1.0, 1.0])
    logs = np.log([1.1, 1.2, 1.3])
    half = 4.303 * logs.std(ddof=1) / math.sqrt(3)
    assert math.log(ratio.high / ratio.value) == pytest.approx(half)


@pytest.mark.parametrize(("true_ratio", "differs"), [(1.0, False), (0.7, True)])
def test_within_a_trace_blocks_cover_the_truth(true_ratio: float, differs: bool) -> None:
    rng = np.random.default_rng(0)
    covered = noise = 0
    for seed in range(60):
        wave = np.repeat(rng.lognormal(0, 0.5, 100), 20)  # neighbours share a queue
        base = wave * rng.lognormal(0, 0.3, 2000)
        other = true_ratio * wave * rng.lognormal(0, 0.3, 2000)
        ratio = within_trace(other, base, mean, seed)
        covered += ratio.low <= true_ratio <= ratio.high
        noise += ratio.within_noise
    assert covered >= 50
    assert (noise == 0) == differs


def test_unanswered_requests_are_left_out() -> None:
    own, base = np.full(400, 2.0), np.full(400, 4.0)
    own[0], base[1] = math.nan, math.nan
    assert within_trace(own, base, mean, 0) == Ratio(0.5, 0.5, 0.5)


def test_the_interval_is_of_the_value_where_one_policy_answers_fewer() -> None:
    """The base leaves the slow half unanswered; those that both answer take equally long."""
    rng = np.random.default_rng(0)
    own = rng.lognormal(0, 0.3, 2000) * np.where(rng.random(2000) < 0.5, 1.0, 5.0)
    base = np.where(own > 2.5, math.nan, own)
    ratio = within_trace(own, base, mean, 0)
    assert ratio.value == pytest.approx(own.mean() / np.nanmean(base))
    assert 1 < ratio.low < ratio.value < ratio.high


def test_short_runs_have_no_interval() -> None:
    assert math.isnan(within_trace(np.ones(50), np.ones(50), mean, 0).low)
    assert math.isnan(within_trace(np.array([math.nan]), np.array([1.0]), mean, 0).value)
