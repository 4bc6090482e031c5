from __future__ import annotations

import numpy as np
import pytest

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.pool import (
    MIN_LENGTHS,
    MIN_OBSERVATIONS_BETWEEN_NEWS,
    WINDOW,
    PoolLengths,
    largest_gap,
)


def a_pool(*lengths: int) -> PoolLengths:
    pool = PoolLengths()
    for tokens in lengths:
        pool.observe(tokens)
    return pool


def test_silent_until_a_few_lengths_are_known() -> None:
    pool = a_pool(*range(10, 10 + MIN_LENGTHS - 1))
    assert pool.distribution() is None
    assert pool.news() is None
    pool.observe(50)
    assert pool.distribution() == LengthDistribution.from_samples([10, 11, 12, 13, 50])


def test_its_quantiles_are_those_of_the_latest_answers() -> None:
    pool = a_pool(*[100] * (MIN_LENGTHS - 1))
    assert pool.log_quantiles() is None
    pool.observe(100)
    assert pool.log_quantiles() == pytest.approx(np.log(100))
    for _ in range(WINDOW):
        pool.observe(400)
    assert pool.log_quantiles() == pytest.approx(np.log(400))


def test_follows_a_change_of_traffic() -> None:
    pool = a_pool(*[10] * WINDOW, *[500] * WINDOW)
    assert pool.distribution() == LengthDistribution.point(500)


def test_cut_off_answers_count_as_at_least_so_long() -> None:
    pool = a_pool(*[100] * MIN_LENGTHS, *[300] * MIN_LENGTHS)
    for _ in range(MIN_LENGTHS):
        pool.observe(200, censored=True)
    distribution = pool.distribution()
    assert distribution is not None
    assert distribution.tokens.tolist() == [100, 300]
    assert distribution.weights == pytest.approx([1 / 3, 2 / 3])


def test_cut_off_answers_alone_say_nothing() -> None:
    pool = PoolLengths()
    for _ in range(WINDOW + 10):
        pool.observe(200, censored=True)
    assert pool.distribution() is None
    for _ in range(MIN_LENGTHS):
        pool.observe(10)
    assert pool.distribution() is not None


def test_news_is_rare_and_material() -> None:
    pool = a_pool(*[100] * MIN_LENGTHS)
    assert pool.news() == LengthDistribution.point(100)
    for _ in range(MIN_OBSERVATIONS_BETWEEN_NEWS - 1):
        pool.observe(900)
    assert pool.news() is None  # material, but too soon
    pool.observe(900)
    assert pool.news() == pool.distribution()
    for _ in range(10 * MIN_OBSERVATIONS_BETWEEN_NEWS):
        pool.observe(900)
    first = pool.news()
    assert first is not None
    for _ in range(2 * MIN_OBSERVATIONS_BETWEEN_NEWS):
        pool.observe(900)
    assert pool.news() is None  # long enough, but hardly changed


@pytest.mark.parametrize(
    ("a", "b", "gap"),
    [([1, 2], [1, 2], 0.0), ([1], [2], 1.0), ([1, 2], [1, 3], 0.5), ([1, 2, 3, 4], [1, 2, 3, 9], 0.25)],
)
def test_largest_gap(a: list[float], b: list[float], gap: float) -> None:
    measured = largest_gap(LengthDistribution.from_samples(a), LengthDistribution.from_samples(b))
    assert measured == pytest.approx(gap)
