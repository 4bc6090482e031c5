import pytest

from sagesched_gateway.scheduling.job import IN_FLIGHT, LEGAL_TRANSITIONS, IllegalEventError, Job, JobState
from sagesched_gateway.scheduling.reservation import Need


def a_job(state: JobState) -> Job:
    return Job("a", 0.0, Need(1, 1), state=state)


@pytest.mark.parametrize("start", JobState)
@pytest.mark.parametrize("end", JobState)
def test_only_the_arrows_of_the_table_exist(start, end):
    job = a_job(start)
    if end in LEGAL_TRANSITIONS[start]:
        job.move_to(end)
        assert job.state is end
    else:
        with pytest.raises(IllegalEventError, match=f"from {start} to {end}"):
            job.move_to(end)


def test_every_state_has_a_row_and_forgotten_is_the_end():
    assert LEGAL_TRANSITIONS.keys() == set(JobState)
    assert not LEGAL_TRANSITIONS[JobState.FORGOTTEN]


def test_only_a_job_that_just_started_or_is_evicted_may_wait_again():
    assert {state for state in IN_FLIGHT if JobState.WAITING in LEGAL_TRANSITIONS[state]} == {
        JobState.STARTED,
        JobState.EVICTING,
    }
