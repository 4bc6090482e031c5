"""A core that was tampered with is found out."""

import pytest

from sagesched_gateway.scheduling import invariants
from sagesched_gateway.scheduling.job import JobState
from sagesched_gateway.scheduling.reservation import Need


@pytest.fixture
def core(a_core):
    core = a_core("ssjf", slots=2, kv_blocks=100)
    for job_id in "abc":
        core.submit(job_id, output=5)
    return core


def test_a_reservation_without_a_job(core):
    core.scheduler.books.ledger.reserve("ghost", Need(1, 1), 0.0)
    with pytest.raises(AssertionError, match="forgotten job"):
        invariants.check(core.scheduler)


def test_a_state_that_nobody_keeps(core):
    core.scheduler.books.jobs["c"].state = JobState.STARTED
    with pytest.raises(AssertionError, match="queue and state differ"):
        invariants.check(core.scheduler)


def test_a_key_that_the_policy_did_not_give(core):
    core.scheduler.books.queue._keys[0] += 1.0
    with pytest.raises(AssertionError, match="key"):
        invariants.check(core.scheduler)


def test_a_backlog_that_is_not_the_sum(core):
    core.scheduler.books.backlog.add(5.0)
    with pytest.raises(AssertionError, match="backlog"):
        invariants.check(core.scheduler)


def test_a_place_that_nobody_was_given(core):
    core.scheduler.books.ledger.release("a")
    core.scheduler.books.jobs.pop("a")
    with pytest.raises(AssertionError, match="the head could move on"):
        invariants.check(core.scheduler)
