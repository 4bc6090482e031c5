import pytest

from sagesched_gateway.scheduling.drain import InFlight, drain_iterations
from sagesched_gateway.scheduling.outlook import drain_s
from sagesched_predictor.distribution import LengthDistribution


def evenly(*tokens: float) -> LengthDistribution:
    return LengthDistribution.from_samples(tokens)


def test_nothing_in_flight_takes_no_time():
    assert drain_iterations([], 0.9) == 0.0


def test_one_takes_what_remains_given_what_it_has():
    assert drain_iterations([InFlight(evenly(10, 20, 30), 0)], 0.5) == 20
    assert drain_iterations([InFlight(evenly(10, 20, 30), 15)], 0.5) == 5
    assert drain_iterations([InFlight(evenly(10, 20, 30), 15)], 0.9) == 15


def test_all_must_have_ended():
    jobs = [InFlight(evenly(10, 20), 0), InFlight(evenly(10, 20), 0)]
    assert drain_iterations(jobs, 0.25) == 10  # a quarter of the time both are short
    assert drain_iterations(jobs, 0.26) == 20


def test_one_beyond_all_that_was_predicted_may_end_with_its_next_token():
    assert drain_iterations([InFlight(evenly(10), 50)], 0.99) == 1


def test_a_quantile_is_a_probability():
    with pytest.raises(ValueError, match="quantile"):
        drain_iterations([], 0.0)


def test_the_core_tells_it_in_seconds(a_core):
    core = a_core(slots=2)
    core.submit("one", output=LengthDistribution.from_samples([10, 40]))
    core.submit("two", output=20)
    assert drain_s(core.scheduler.books, core.now, 0.9) == pytest.approx(0.40, rel=1e-6)
    core.first_token("one")
    core.progress("one", 15)
    assert drain_s(core.scheduler.books, core.now, 0.9) == pytest.approx(0.25, rel=1e-6)
    assert drain_s(core.scheduler.books, core.now, 0.4) == pytest.approx(0.25, rel=1e-6)
