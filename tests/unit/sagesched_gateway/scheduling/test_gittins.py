"""The index on examples worked by hand."""

import math

import numpy as np
import pytest

from sagesched_gateway.scheduling.gittins import gittins_index, tails


def index(atoms: dict[float, float], consumed: float = 0.0) -> float:
    return gittins_index(np.array(list(atoms)), np.array(list(atoms.values())), consumed)


def test_a_known_cost_is_its_own_index():
    assert index({100.0: 1.0}) == 100.0


@pytest.mark.parametrize(("consumed", "expected"), [(0.0, 20.0), (9.0, 2.0), (10.0, 990.0)])
def test_ten_or_a_thousand(consumed, expected):
    # Stop after 10: (10/2 + 10/2) / (1/2) = 20, where the mean is 505.
    assert index({10.0: 0.5, 1000.0: 0.5}, consumed) == pytest.approx(expected)


def test_the_best_place_to_stop_may_lie_in_the_middle():
    # Stop after 1: 1 / 0.2 = 5. After 2: (0.2 + 0.6 + 0.5 * 2) / 0.5 = 3.6. After 10: 5.8.
    assert index({1.0: 0.2, 2.0: 0.3, 10.0: 0.5}) == pytest.approx(3.6)


def test_a_job_that_outlived_every_atom_goes_last():
    assert index({10.0: 0.5, 20.0: 0.5}, consumed=20.0) == math.inf


def test_what_is_left_is_conditioned_on_having_got_there():
    # 5 left with certainty once the first atom is passed, whatever its weight was.
    assert index({10.0: 0.999, 15.0: 0.001}, consumed=10.0) == pytest.approx(5.0)


def test_tails_keep_their_digits_and_end_in_zero():
    weights = np.array([1.0 - 3e-18, 2e-18, 1e-18])
    assert tails(weights).tolist() == [pytest.approx(3e-18), pytest.approx(1e-18), 0.0]


def test_one_atom_has_no_tail():
    assert tails(np.array([1.0])).tolist() == [0.0]
