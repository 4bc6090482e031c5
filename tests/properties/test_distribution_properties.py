"""What must hold for any `LengthDistribution`, however it was made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sagesched_predictor.distribution import MAX_ATOMS, LengthDistribution
from sagesched_predictor.pool import largest_gap

# How fast examples come says something of the machine's other work, nothing of a distribution.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

lengths = st.one_of(st.integers(0, 5000), st.floats(0, 1e6))
samples = st.lists(lengths, min_size=1, max_size=100)
weighted = st.lists(st.tuples(lengths, st.floats(0, 1e6)), min_size=1, max_size=100).filter(
    lambda pairs: sum(weight for _, weight in pairs) > 0
)


@st.composite
def distributions(draw: st.DrawFn) -> LengthDistribution:
    pairs = draw(weighted)
    return LengthDistribution.from_samples([t for t, _ in pairs], [w for _, w in pairs])


def assert_sound(distribution: LengthDistribution) -> None:
    tokens, weights = distribution.tokens, distribution.weights
    assert 1 <= tokens.size <= MAX_ATOMS
    assert np.isfinite(tokens).all()
    assert tokens[0] >= 1
    assert (np.diff(tokens) > 0).all()
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-9)


@unhurried
@given(weighted)
def test_any_weighted_samples_make_a_sound_distribution_of_the_same_mean(
    pairs: list[tuple[float, float]],
) -> None:
    values, weights = (np.array(column) for column in zip(*pairs, strict=True))
    distribution = LengthDistribution.from_samples(values, weights)
    assert_sound(distribution)
    clipped = np.maximum(values, 1)
    assert distribution.mean == pytest.approx(float(clipped @ weights / weights.sum()), rel=1e-6)
    assert clipped.min() - 1e-6 <= distribution.tokens[0]
    assert distribution.tokens[-1] <= clipped.max() * (1 + 1e-9)


@unhurried
@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_samples_is_of_no_account(values: list[float], random: object) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert LengthDistribution.from_samples(values) == LengthDistribution.from_samples(shuffled)


@unhurried
@given(distributions())
def test_pairs_bring_it_back(distribution: LengthDistribution) -> None:
    assert LengthDistribution.from_pairs(distribution.to_pairs()) == distribution


@unhurried
@given(distributions(), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise_and_survival_mirrors_them(
    distribution: LengthDistribution, p: float, q: float
) -> None:
    low, high = sorted((p, q))
    assert distribution.quantile(low) <= distribution.quantile(high)
    assert distribution.survival(distribution.quantile(q)) <= 1 - q + 1e-9
    assert distribution.survival(0) == pytest.approx(1)
    assert distribution.survival(float(distribution.tokens[-1])) == 0


@unhurried
@given(distributions(), st.floats(0, 1e6), st.floats(0, 1e6))
def test_survival_falls(distribution: LengthDistribution, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert distribution.survival(low) >= distribution.survival(high)


@unhurried
@given(distributions(), st.floats(1, 1e6))
def test_given_at_least_keeps_the_shape_of_what_is_left(
    distribution: LengthDistribution, generated: float
) -> None:
    rest = distribution.given_at_least(generated)
    assert_sound(rest)
    assert rest.tokens[0] >= generated
    assert rest.mean >= min(distribution.mean, generated) - 1e-6
    kept = distribution.weights[distribution.tokens >= generated]
    if kept.size and kept.min() > 1e-9 * kept.sum():
        assert rest.weights == pytest.approx(kept / kept.sum())


@unhurried
@given(distributions(), st.floats(1, 1e6))
def test_clipped_is_the_distribution_of_the_minimum(distribution: LengthDistribution, cap: float) -> None:
    clipped = distribution.clipped(cap)
    assert_sound(clipped)
    assert clipped.tokens[-1] <= cap
    expected = float(np.minimum(distribution.tokens, cap) @ distribution.weights)
    assert clipped.mean == pytest.approx(expected, rel=1e-6)
    assert clipped.clipped(cap) == clipped


@unhurried
@given(distributions(), distributions(), st.floats(0, 1))
def test_mixing_mixes_the_means(a: LengthDistribution, b: LengthDistribution, weight: float) -> None:
    mixed = a.mixed_with(b, weight)
    assert_sound(mixed)
    assert mixed.mean == pytest.approx((1 - weight) * a.mean + weight * b.mean, rel=1e-6)


@unhurried
@given(distributions(), distributions())
def test_the_gap_between_two_is_a_distance(a: LengthDistribution, b: LengthDistribution) -> None:
    assert 0 <= largest_gap(a, b) <= 1 + 1e-9
    assert largest_gap(a, b) == pytest.approx(largest_gap(b, a))
    assert largest_gap(a, a) == 0


@unhurried
@given(distributions())
def test_nobody_can_change_it(distribution: LengthDistribution) -> None:
    with pytest.raises(ValueError, match="read-only"):
        distribution.tokens[0] = 7
    with pytest.raises(ValueError, match="read-only"):
        distribution.weights[0] = 7


@unhurried
@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=8, unique=True))
def test_the_callers_arrays_stay_theirs(values: list[float]) -> None:
    tokens, weights = np.sort(np.array(values)), np.full(len(values), 1 / len(values))
    assume((np.diff(tokens) > 0).all())
    LengthDistribution(tokens, weights)
    tokens[0], weights[0] = 1, 0.5


@pytest.mark.parametrize(
    ("tokens", "weights"),
    [
        ([], []),
        ([0.5], [1]),
        ([2, 1], [0.5, 0.5]),
        ([1, 1], [0.5, 0.5]),
        ([1, 2], [1, 0]),
        ([1, 2], [0.5, 0.6]),
        ([1, np.inf], [0.5, 0.5]),
        ([1, 2], [np.nan, 0.5]),
        ([1, 2], [1]),
        (range(1, 66), [1 / 65] * 65),
    ],
)
def test_unsound_atoms_are_refused(tokens: list[float], weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"must|need"):
        LengthDistribution(np.array(tokens, dtype=float), np.array(weights, dtype=float))


@pytest.mark.parametrize(
    ("values", "weights"), [([], None), ([1], [0]), ([1], [-1]), ([1], [1, 2]), ([1], [np.nan])]
)
def test_unsound_samples_are_refused(values: list[float], weights: list[float] | None) -> None:
    with pytest.raises(ValueError, match=r"need|must"):
        LengthDistribution.from_samples(values, weights)
