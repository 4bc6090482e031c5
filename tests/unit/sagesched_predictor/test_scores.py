from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.scores import coverage, kendall_tau, pinball_gain, score, spearman

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=60)


@given(PAIRS)
def test_order_figures_are_those_of_scipy(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert (kendall_tau(a, b), spearman(a, b)) == (0, 0)
    else:
        assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_many_rows_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 101))
    monkeypatch.setattr("sagesched_predictor.scores.ROWS_AT_ONCE", 7)
    assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)


def test_the_marginal_forecaster_gains_nothing_and_a_knowing_one_nearly_all() -> None:
    actual = np.arange(1.0, 1001.0)
    marginal = LengthDistribution.from_samples(actual)
    assert pinball_gain([marginal] * 1000, actual) == pytest.approx(0, abs=0.01)
    assert pinball_gain([LengthDistribution.point(x) for x in actual], actual) == 1
    assert pinball_gain([LengthDistribution.point(7)], np.array([7.0])) == 0


def test_intervals_of_a_true_forecast_hold_their_share() -> None:
    actual = np.arange(1.0, 1001.0)
    marginal = LengthDistribution.from_samples(actual)
    for share in (0.5, 0.8, 0.9):
        assert coverage([marginal] * 1000, actual, share) == pytest.approx(share, abs=0.02)


def test_a_group_without_other_answers_has_no_ceiling() -> None:
    actual = np.array([3.0, 9.0, 5.0])
    distributions = [LengthDistribution.point(x) for x in (3, 9, 5)]
    alone = score(distributions, actual, [np.zeros(0)] * 3)
    assert (alone["n"], alone["kendall_tau"], alone["kendall_ceiling"]) == (3, 1.0, None)
    assert set(alone["coverage"]) == {"0.5", "0.8", "0.9"}
    beside = score(distributions, actual, [np.array([1.0]), np.array([5.0, 7.0]), np.array([2.0])])
    assert beside["kendall_ceiling"] == 1.0
