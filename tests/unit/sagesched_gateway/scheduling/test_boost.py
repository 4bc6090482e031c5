"""The head start on examples worked by hand, with γ = ln 2 so that e^{γs} = 2^s."""

import math

import numpy as np
import pytest

from sagesched_gateway.scheduling.boost import gittins_boost, known_size_boost

LN2 = math.log(2.0)


def boost(atoms: dict[float, float], gamma: float = LN2) -> float:
    return float(gittins_boost(np.array(list(atoms)), np.array(list(atoms.values())), np.array([gamma]))[0])


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1.0, 1.0), (2.0, math.log2(4 / 3)), (10.0, math.log2(1024 / 1023))],
)
def test_known_size(size, expected):
    # 2^s / (2^s - 1), in binary digits.
    assert boost({size: 1.0}) == pytest.approx(expected)
    assert known_size_boost(size, LN2) == pytest.approx(expected)


def test_one_or_two_is_best_judged_at_two():
    # At 1: (1/2 * 2) / (1/2 * 2 + 1/2 * 2 - 1) = 1. At 2: E[2^S] = 3, and 3 / (3 - 1) = 1.5.
    assert boost({1.0: 0.5, 2.0: 0.5}) == pytest.approx(math.log2(1.5))


def test_probably_one_is_best_judged_at_one():
    # At 1: 0.9 * 2 / (2 - 1) = 1.8. At 10: E[2^S] = 1.8 + 102.4, a ratio of 1.01.
    assert boost({1.0: 0.9, 10.0: 0.1}) == pytest.approx(math.log2(1.8))


def test_a_rare_long_answer_costs_little_head_start_when_it_can_be_told_late():
    sure = boost({1.0: 1.0}, gamma=1e-3)
    risky = boost({1.0: 0.99, 500.0: 0.01}, gamma=1e-3)
    assert sure - risky == pytest.approx(-math.log(0.99) / 1e-3, rel=0.01)


def test_every_gamma_of_a_grid_in_one_call():
    gammas = np.array([0.01, 0.1, 1.0])
    boosts = gittins_boost(np.array([3.0]), np.array([1.0]), gammas)
    assert boosts == pytest.approx([known_size_boost(3.0, gamma) for gamma in gammas])


@pytest.mark.parametrize("gamma", [1e-9, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("atoms", [{1e-6: 0.5, 1e9: 0.5}, {1e-100: 1.0}, {1.0: 1 - 1e-15, 2.0: 1e-15}])
def test_extremes_stay_finite(atoms, gamma):
    value = boost(atoms, gamma)
    assert math.isfinite(value)
    assert value >= 0.0
