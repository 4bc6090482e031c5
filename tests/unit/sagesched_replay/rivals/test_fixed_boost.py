"""`fixed-boost`: −(1/γ)·ln(1 − e^{−γs}) for a known size, whatever waits."""

import math

import pytest

from sagesched_gateway.scheduling.policies.base import Moment
from sagesched_replay.rivals.fixed_boost import FixedBoost


@pytest.mark.parametrize("gamma_per_s", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("iteration_s", [0.01, 0.02])
def test_the_head_start_of_a_known_size_in_seconds(a_facts, gamma_per_s, iteration_s):
    policy = FixedBoost(gamma_per_s)
    view = policy.view(Moment(0.0, iteration_s, 0.0, backlog_steps=1234.5))
    key = view.key(100.0, policy.row(a_facts([300])))
    size_s = 300 * iteration_s
    boost_s = -math.log(1 - math.exp(-gamma_per_s * size_s)) / gamma_per_s
    assert 100.0 - key == pytest.approx(boost_s, rel=0.05)  # γ is met to within 4.5 %


def test_it_does_not_follow_the_backlog():
    policy = FixedBoost()
    assert policy.view(Moment(0.0, 0.01, 0.0, 1.0)) == policy.view(Moment(9.0, 0.01, 0.0, 1e6))


def test_a_gamma_of_nothing_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        FixedBoost(0.0)
