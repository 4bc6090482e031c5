"""`tie`: mean plus β times the mean of the largest tenth, ageing by a tenth each 30 s."""

import math

import numpy as np
import pytest
from scipy import stats

from sagesched_gateway.scheduling.policies.base import Moment
from sagesched_replay.rivals.tie import BETAS, Tie, fit_t, t_quantiles


def test_quantiles_are_those_of_students_t():
    count = 1000
    wanted = stats.t.ppf((np.arange(count) + 0.5) / count, 3.5)
    assert t_quantiles(3.5, count) == pytest.approx(wanted, abs=0.02)


def test_a_fit_finds_the_t_that_samples_come_from():
    samples = 5.0 + 0.4 * t_quantiles(3.5, 500)
    assert fit_t(samples, np.full(500, 1 / 500)) == pytest.approx((5.0, 0.4), rel=0.02)


def test_the_score_of_a_known_length_is_itself_and_beta_of_itself(a_facts):
    row = Tie().row(a_facts([200]))
    assert row == pytest.approx(np.log(200 * (1 + BETAS)), abs=0.01)


def test_lengths_are_cut_at_the_cap(a_facts):
    # Half of a symmetric distribution of logarithms around the cap is cut at it: mean below, tail at the cap.
    row = Tie().row(a_facts([50, 200], cap=100))
    assert math.exp(row[-1]) < 100 * 1.5
    assert math.exp(row[-1]) - math.exp(row[0]) == pytest.approx(100 * 0.4, rel=1e-6)


def test_thirty_seconds_of_wait_take_a_tenth_off(a_facts):
    policy = Tie()
    view = policy.view(Moment(0.0, 0.01, 0.0, 1.0))
    row = policy.row(a_facts([100]))
    assert view.key(30.0, row) - view.key(0.0, row) == pytest.approx(-math.log(0.9))


@pytest.mark.parametrize(("num_waiting", "beta"), [(1, 0.1), (64, 0.2), (96, 0.3), (10_000, 0.5)])
def test_beta_follows_the_queue(num_waiting, beta):
    view = Tie().view(Moment(0.0, 0.01, 0.0, 1.0, None, num_waiting, slots=32))
    assert BETAS[view.column] == pytest.approx(beta)
