"""Index and head start over random distributions: limits, scale, and agreement with the plain formula."""

import math
from decimal import Decimal, localcontext

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sagesched_gateway.scheduling.boost import gittins_boost, known_size_boost
from sagesched_gateway.scheduling.gittins import gittins_index
from sagesched_gateway.scheduling.tail_rate import GAMMA_GRID, TailRate

quick = settings(max_examples=100, deadline=None)
sizes = st.floats(1e-3, 1e5)
gammas = st.sampled_from(GAMMA_GRID.tolist())


@st.composite
def distributions(draw: st.DrawFn, elements: st.SearchStrategy[float] = sizes, most: int = 64):
    """Sorted atoms and weights, some of them tiny."""
    values = np.array(sorted(draw(st.lists(elements, min_size=1, max_size=most, unique=True))))
    weights = np.array(
        draw(st.lists(st.floats(1e-12, 1.0), min_size=values.size, max_size=values.size)), dtype=np.float64
    )
    return values, weights / weights.sum()


def boost_at(distribution, gamma: float) -> float:
    return float(gittins_boost(*distribution, np.array([gamma]))[0])


def plain_index(values, weights) -> float:
    return min(
        sum(weight * min(value, stop) for value, weight in zip(values, weights, strict=True))
        / sum(weight for value, weight in zip(values, weights, strict=True) if value <= stop)
        for stop in values
    )


def plain_boost(values, weights, gamma: float) -> float:
    """The formula as it stands, with 80 digits and no bound on the exponent."""
    with localcontext() as context:
        context.prec = 80
        powers = [(Decimal(gamma) * Decimal(value)).exp() for value in values]
        total = sum(Decimal(weight) for weight in weights)
        shares = [Decimal(weight) / total for weight in weights]
        best = Decimal(0)
        for stop, power in enumerate(powers):
            won = sum(
                (share * won for share, won in zip(shares, powers[: stop + 1], strict=False)), Decimal(0)
            )
            paid = won + power * sum(shares[stop + 1 :], Decimal(0)) - 1
            best = max(best, won / paid)
        return float(best.ln() / Decimal(gamma))


@quick
@given(distributions(most=8))
def test_index_is_the_least_cost_per_chance(distribution):
    assert math.isclose(gittins_index(*distribution), plain_index(*distribution), rel_tol=1e-9)


@quick
@given(distributions())
def test_index_lies_between_the_shortest_and_the_mean(distribution):
    values, weights = distribution
    index = gittins_index(values, weights)
    assert values[0] * (1 - 1e-9) <= index <= float(values @ weights) * (1 + 1e-9)


@quick
@given(distributions(), st.floats(0.0, 1e5))
def test_index_of_what_is_left_is_that_of_the_conditioned_distribution(distribution, consumed):
    values, weights = distribution
    left = values > consumed
    assume(left.any())
    expected = gittins_index(values[left] - consumed, weights[left] / weights[left].sum())
    assert math.isclose(gittins_index(values, weights, consumed), expected, rel_tol=1e-9)


@quick
@given(distributions(st.floats(0.01, 500.0), most=6), gammas)
def test_boost_is_the_plain_formula(distribution, gamma):
    expected = plain_boost(*distribution, gamma)
    assert math.isclose(boost_at(distribution, gamma), expected, rel_tol=1e-9, abs_tol=1e-9)


@quick
@given(distributions())
def test_boosts_are_finite_and_fall_as_gamma_rises(distribution):
    boosts = gittins_boost(*distribution, GAMMA_GRID)
    assert np.isfinite(boosts).all()
    assert (boosts >= 0).all()
    assert (np.diff(boosts) <= 1e-9 * boosts[:-1]).all()


@quick
@given(sizes, gammas)
def test_boost_of_a_known_size_is_the_closed_form(size, gamma):
    boost = boost_at((np.array([size]), np.array([1.0])), gamma)
    assert math.isclose(boost, known_size_boost(size, gamma), rel_tol=1e-9, abs_tol=1e-12)


@quick
@given(distributions(), st.floats(1e-3, 1e3), st.floats(1e-4, 1.0))
def test_boost_scales_with_the_unit(distribution, scale, gamma):
    values, weights = distribution
    scaled = boost_at((values * scale, weights), gamma)
    assert math.isclose(scaled, scale * boost_at(distribution, gamma * scale), rel_tol=1e-9, abs_tol=1e-12)


@quick
@given(distributions(st.floats(0.1, 1000.0)))
def test_small_gamma_gives_the_gittins_order(distribution):
    # γ·boost → −ln(γ·G): a boost is a function of the index alone, so orders agree.
    gamma = 1e-9
    index = gittins_index(*distribution)
    assert math.isclose(gamma * boost_at(distribution, gamma), -math.log(gamma * index), rel_tol=1e-5)


@quick
@given(distributions(st.floats(0.1, 1000.0)), distributions(st.floats(0.1, 1000.0)))
def test_small_gamma_orders_any_two_as_their_indices_do(one, other):
    indices = gittins_index(*one), gittins_index(*other)
    assume(max(indices) > 1.001 * min(indices))
    assert (indices[0] < indices[1]) == (boost_at(one, 1e-9) > boost_at(other, 1e-9))


@quick
@given(distributions(st.floats(0.1, 1e5)))
def test_large_gamma_gives_no_head_start(distribution):
    assert boost_at(distribution, 1e4) <= 1e-3


@quick
@given(sizes, sizes, gammas)
def test_a_difference_of_known_sizes_is_largest_at_the_smallest_gamma(one, other, gamma):
    short, long = sorted((one, other))
    at_gamma = known_size_boost(short, gamma) - known_size_boost(long, gamma)
    at_least = known_size_boost(short, GAMMA_GRID[0]) - known_size_boost(long, GAMMA_GRID[0])
    assert -1e-9 <= at_gamma <= at_least + 1e-6


@quick
@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=50), st.floats(1e-3, 1e3))
def test_gamma_is_never_further_than_one_grid_step_from_what_is_wanted(backlogs, weight):
    rate = TailRate(weight)
    for backlog in backlogs:
        rate.follow(backlog)
        wanted = min(max(weight / max(backlog, 1e-300), GAMMA_GRID[0]), GAMMA_GRID[-1])
        assert 1 / 1.4143 <= rate.gamma / wanted <= 1.4143
