"""γ follows the backlog on its grid, with one step of hysteresis."""

import math

import pytest

from sagesched_gateway.scheduling.tail_rate import GAMMA_GRID, GAMMA_MAX, GAMMA_MIN, TailRate


def test_the_grid_is_geometric():
    ratios = GAMMA_GRID[1:] / GAMMA_GRID[:-1]
    assert ratios == pytest.approx(math.sqrt(2.0))
    assert (GAMMA_MIN, GAMMA_MAX) == (2.0**-16, 1.0)


def test_an_empty_queue_means_the_largest_gamma():
    rate = TailRate(1.0)
    rate.follow(0.0)
    assert rate.gamma == GAMMA_MAX


@pytest.mark.parametrize(("weight", "backlog", "gamma"), [(1.0, 64.0, 2.0**-6), (0.25, 64.0, 2.0**-8)])
def test_gamma_is_weight_over_backlog(weight, backlog, gamma):
    rate = TailRate(weight)
    rate.follow(backlog)
    assert rate.gamma == pytest.approx(gamma)


def test_gamma_stays_on_the_grid_at_both_ends():
    rate = TailRate(1.0)
    rate.follow(1e12)
    assert rate.gamma == GAMMA_MIN
    rate.follow(1e-12)
    assert rate.gamma == GAMMA_MAX


def test_a_trembling_backlog_moves_nothing():
    rate = TailRate(1.0)
    settled = rate.follow(64.0)
    # Any backlog less than one grid step (a factor √2) away, either side.
    assert [rate.follow(backlog) for backlog in (46.0, 90.0, 64.0, 46.0)] == [settled] * 4
    assert rate.follow(91.0) == settled - 1
    assert rate.follow(65.0) == settled - 1


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_a_weight_must_be_positive(weight):
    with pytest.raises(ValueError, match="positive"):
        TailRate(weight)
