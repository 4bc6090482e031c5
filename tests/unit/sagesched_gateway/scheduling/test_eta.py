"""Predicted waits: what is ahead, what will overtake, what the past teaches."""

import math

import numpy as np
import pytest

from sagesched_gateway.scheduling.drain_rate import PRIOR_S, DrainRate
from sagesched_gateway.scheduling.eta import Arrivals, Estimator, Eta, LogRatio, probability_in_time
from sagesched_gateway.scheduling.queue import BY_ARRIVAL, KeyView, Work
from sagesched_predictor.distribution import LengthDistribution

BY_SIZE = KeyView()


class TestDrainRate:
    def test_at_first_it_is_a_step_per_iteration(self):
        assert DrainRate().steps_per_s(0.01) == pytest.approx(100.0)

    def test_it_learns_what_leaves_while_something_waits(self):
        drain = DrainRate()
        drain.joined(0.0)
        for second in range(1, 601):
            drain.left(float(second), 50.0, num_waiting=3)
        assert drain.steps_per_s(0.01) == pytest.approx(50.0, rel=0.1)
        assert drain.steps_per_job == pytest.approx(50.0, rel=0.01)

    def test_time_without_a_queue_does_not_count(self):
        drain = DrainRate()
        drain.joined(0.0)
        drain.left(1.0, 100.0, num_waiting=0)
        before = drain.steps_per_s(0.01)
        drain.joined(1000.0)
        assert (
            drain.steps_per_s(0.01)
            == before
            == pytest.approx((100 + PRIOR_S * 100) / (1 + PRIOR_S), rel=0.01)
        )


class TestEta:
    def test_what_can_start_at_once_does(self):
        eta = Eta(0.0, 0.0, 1.0)
        assert (eta.quantile(0.9), eta.within(0.0), eta.within(-1.0)) == (0.0, 1.0, 0.0)

    def test_quantile_and_probability_are_inverse(self):
        eta = Eta(8.0, 0.1, 0.4)
        for q in (0.1, 0.5, 0.9, 0.99):
            assert eta.within(eta.quantile(q)) == pytest.approx(q)
        assert eta.quantile(0.5) == pytest.approx(8.5 * math.exp(0.1) - 0.5)

    def test_in_time_is_wait_plus_service(self):
        eta = Eta(0.0, 0.0, 1.0)
        services, weights = np.array([1.0, 3.0]), np.array([0.25, 0.75])
        assert probability_in_time(eta, 2.0, services, weights) == 0.25
        assert probability_in_time(eta, 0.5, services, weights) == 0.0
        late = Eta(2.0, 0.0, 0.5)
        assert probability_in_time(late, 3.0, services, weights) == pytest.approx(
            0.25 * late.within(2.0), abs=1e-3
        )


class TestOvertaking:
    def steady(self, offset: float) -> Arrivals:
        """One job of ten steps a second."""
        arrivals = Arrivals()
        for second in range(101):
            arrivals.note(float(second), np.array([offset]), 10.0)
        return arrivals

    def test_nobody_by_arrival(self):
        assert self.steady(0.0).overtaking(0.0, BY_ARRIVAL, 60.0, 100.0) == 0.0

    def test_all_smaller_ones_by_size(self):
        assert self.steady(5.0).overtaking(6.0, BY_SIZE, 20.0, 100.0) == pytest.approx(202.0)
        assert self.steady(5.0).overtaking(4.0, BY_SIZE, 20.0, 100.0) == 0.0

    def test_those_within_the_head_start_by_boost(self):
        boosts = KeyView(arrival_weight=1.0, scale=-1.0)
        # A head start of 8 s against one of 3: who comes within 5 s goes ahead.
        assert self.steady(8.0).overtaking(-3.0, boosts, 20.0, 100.0) == pytest.approx(50.5)

    def test_the_wait_includes_them(self):
        estimator = Estimator()
        for second in range(101):
            estimator.arrivals.note(float(second), np.array([1.0]), 50.0)
        # Half of the engine goes to smaller ones, so the wait doubles.
        eta = estimator.wait(Work(1000.0, 0.0), 2.0, BY_SIZE, 100.0, 100.0)
        assert eta.seconds == pytest.approx(20.0, rel=0.05)
        assert estimator.wait(Work(1000.0, 0.0), 0.5, BY_SIZE, 100.0, 100.0).seconds == pytest.approx(10.0)


class TestLearning:
    def test_a_bias_is_taken_out(self):
        estimator = Estimator()
        ahead = Work(1000.0, 0.0)
        for _ in range(200):
            eta = estimator.wait(ahead, 0.0, BY_ARRIVAL, 100.0, 0.0)
            estimator.waited(20.0, eta, ahead)
        eta = estimator.wait(ahead, 0.0, BY_ARRIVAL, 100.0, 0.0)
        assert eta.quantile(0.5) == pytest.approx(20.0, rel=0.05)
        assert eta.quantile(0.9) < 25.0

    def test_independent_needs_add_their_variances(self):
        estimator = Estimator()
        sure = estimator.wait(Work(1000.0, 0.0), 0.0, BY_ARRIVAL, 100.0, 0.0)
        unsure = estimator.wait(Work(1000.0, 1000.0**2), 0.0, BY_ARRIVAL, 100.0, 0.0)
        assert unsure.log_sigma**2 - sure.log_sigma**2 == pytest.approx(math.log(2.0))

    def test_a_ratio_settles_on_mean_and_spread(self):
        draw = np.random.default_rng(0)
        ratio = LogRatio()
        for error in draw.normal(0.5, 0.2, 2000):
            ratio.note(math.exp(error), 1.0)
        assert ratio.mean == pytest.approx(0.5, abs=0.15)
        assert math.sqrt(ratio.variance) == pytest.approx(0.2, rel=0.5)


def test_the_core_knows_what_a_newcomer_would_wait(a_core):
    core = a_core("fcfs", slots=1)
    core.submit("running", output=100)
    like_them = LengthDistribution.point(100)

    def ask() -> Eta:
        return core.scheduler.eta(core.now, prompt_tokens=10, max_tokens=100, distribution=like_them)

    none = ask()
    core.submit("one", output=100)
    one = ask()
    core.submit("two", output=100)
    two = ask()
    assert 0.0 < none.quantile(0.5) < one.quantile(0.5) < two.quantile(0.5)
    # Each takes a step per token on the one slot: 1 s, and one more must end before there is room.
    assert two.seconds == pytest.approx(3.0, rel=0.05)
    assert core.scheduler.snapshot().time_to_start_all_s == pytest.approx(2.0, rel=0.05)
