"""Order by expected output, and the paper's age guard on predicted time."""

import pytest

from sagesched_predictor.distribution import LengthDistribution


def test_the_mean_of_the_distribution_decides(a_core):
    core = a_core("ssjf")
    core.submit("running")
    core.submit("mean 52", output=LengthDistribution.from_samples([4, 100]))
    core.submit("mean 50", output=50)
    assert core.drain() == ["running", "mean 50", "mean 52"]


class TestAgeGuard:
    """Ten times 100 tokens of 10 ms is 10 s, plus ten times a prefill of 10 · 0.01 ms."""

    def waiting(self, a_core, age_guard=True):
        core = a_core("ssjf", knobs={"age_guard": age_guard})
        core.submit("running")
        core.submit("old", output=100)
        core.now = 1.0
        core.submit("young", output=1)
        return core

    @pytest.mark.parametrize(("now", "first"), [(10.0, "young"), (10.002, "old")])
    def test_ten_times_its_own_predicted_time_is_too_old(self, a_core, now, first):
        core = self.waiting(a_core)
        core.now = now
        core.finish("running")
        assert core.started[-1] == first

    def test_a_hundred_seconds_are_too_old_for_any(self, a_core):
        core = a_core("ssjf", knobs={"age_guard": True})
        core.submit("running", max_tokens=10_000)
        core.submit("old", output=5000, max_tokens=10_000)
        core.submit("young", output=1)
        core.now = 100.0
        core.finish("running")
        assert core.started[-1] == "young"
        core.submit("younger", output=1)
        core.now = 100.1
        core.finish("young")
        assert core.started[-1] == "old"

    def test_it_is_off_unless_asked_for(self, a_core):
        core = self.waiting(a_core, age_guard=False)
        core.now = 1000.0
        core.finish("running")
        assert core.started[-1] == "young"

    def test_a_prediction_of_less_makes_it_old_sooner(self, a_core):
        core = self.waiting(a_core)
        core.now = 5.0
        core.predict("old", 20)
        core.finish("running")
        assert core.started[-1] == "old"
