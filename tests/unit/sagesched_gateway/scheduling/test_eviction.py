"""A_min's overflow step: whom it cancels, when, and what comes of them."""

import pytest

from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.commands import Evict, Start, Stop, WakeAt
from sagesched_gateway.scheduling.events import Requeued
from sagesched_gateway.scheduling.job import IllegalEventError, JobState

LIMITS = {
    "slots": 8,
    "kv_blocks": 30,
    "block_tokens": 1,
    "kv_policy": KvPolicy.MAX_UTILIZATION,
    "kv_headroom_iterations": 0.0,
}


def three_running(a_core, **knobs):
    """Prompts of 4 and lower bounds 1, 2, 3: they hold 4 + g + 1 each, so 30 blocks last for g = 3."""
    core = a_core("amin", knobs=knobs, **LIMITS)
    for bound, job_id in enumerate(("one", "two", "three"), start=1):
        core.submit(job_id, prompt=4, max_tokens=20, output=bound)
    assert core.started == ["one", "two", "three"]
    return core


def grow(core, tokens: int, job_ids=("one", "two", "three")):
    """All report so many tokens; returns the evictions asked for."""
    core.now += 1e-6
    commands = []
    for job_id in job_ids:
        commands += core.progress(job_id, tokens)
    core.now += core.capacity.iteration_s
    commands += core.woken()
    return [command.job_id for command in commands if isinstance(command, Evict)]


def test_nobody_is_cancelled_while_all_fit(a_core):
    core = three_running(a_core)
    assert grow(core, 1) == []


def test_the_smallest_bound_goes_first_and_ties_by_the_later_arrival(a_core):
    core = three_running(a_core)
    # All have generated more than their bound: equal, so the one that came last goes.
    assert grow(core, 5) == ["three"]
    core = three_running(a_core)
    core.progress("three", 6)
    assert grow(core, 5, ("one", "two")) == ["two"]


def test_the_largest_goes_first_where_asked_for(a_core):
    core = three_running(a_core, evict_first="largest")
    core.progress("one", 7)
    assert grow(core, 5, ("two", "three")) == ["one"]


def test_it_waits_again_with_a_larger_bound_and_starts_once_more(a_core):
    core = three_running(a_core)
    assert grow(core, 5) == ["three"]
    assert core.scheduler.job_state("three") is JobState.EVICTING
    core.change(kv_headroom_iterations=8.0)  # or it would be back at once, as under the paper's rule
    core.handle(Requeued(job_id="three", output_tokens=5))
    job = core.scheduler.books.jobs["three"]
    assert (job.state, job.least_tokens, job.bound, job.evictions) == (JobState.WAITING, 6, 6, 1)
    assert core.scheduler.snapshot().num_evictions == 1
    core.finish("one")
    assert core.started == ["one", "two", "three", "three"]


def test_one_that_ends_before_the_cancellation_reached_it_is_done(a_core):
    core = three_running(a_core)
    assert grow(core, 5) == ["three"]
    core.finish("three")
    assert core.scheduler.job_state("three") is JobState.FORGOTTEN


def test_a_client_that_leaves_meanwhile_is_not_waited_for(a_core):
    core = three_running(a_core)
    assert grow(core, 5) == ["three"]
    assert core.cancel("three") == [Stop("three")]
    core.handle(Requeued(job_id="three", output_tokens=5))
    assert core.scheduler.job_state("three") is JobState.FORGOTTEN


def test_nobody_is_cancelled_more_often_than_the_cap(a_core):
    core = three_running(a_core, max_evictions=1)
    assert grow(core, 5) == ["three"]
    core.handle(Requeued(job_id="three", output_tokens=5))
    core.finish("one")
    core.finish("two")
    core.submit("other", prompt=4, max_tokens=20, output=14)
    # `three` counts with all it may come to hold now, 4 + 20, so 4 + 14 do not fit beside it.
    assert "other" not in core.started
    assert grow(core, 9, ("three",)) == []


def test_only_an_evicted_or_a_refused_one_comes_back(a_core):
    core = three_running(a_core)
    core.first_token("one")
    with pytest.raises(IllegalEventError):
        core.handle(Requeued(job_id="one", output_tokens=3))


def test_the_last_one_in_flight_is_left_alone(a_core):
    core = a_core("amin", **LIMITS)
    core.submit("alone", prompt=4, max_tokens=26, output=1)
    assert grow(core, 25, ("alone",)) == []


def test_silence_is_growth_too(a_core):
    """Answers that are not streamed report nothing: the core asks to be woken before they overflow."""
    core = a_core("amin", **LIMITS)
    wake_at = None
    evicted = []
    for job_id in ("one", "two", "three"):
        for command in core.submit(job_id, prompt=4, max_tokens=20, output=2):
            wake_at = command.at if isinstance(command, WakeAt) else wake_at
    assert core.started == ["one", "two", "three"]
    for _ in range(50):
        assert wake_at is not None
        core.now = wake_at
        for command in core.woken():
            wake_at = command.at if isinstance(command, WakeAt) else wake_at
            evicted += [command.job_id] if isinstance(command, Evict) else []
        if evicted:
            break
    assert evicted == ["three"]
    held = core.scheduler.books.ledger.reserved_blocks(core.now)
    assert held <= 30, "too late: the engine has paused somebody by now"


def test_other_policies_start_where_amin_left(a_core):
    core = three_running(a_core)
    assert grow(core, 5) == ["three"]
    core.handle(Requeued(job_id="three", output_tokens=5))
    core.finish("one")
    core.finish("two")
    assert [command for command in core.started if command == "three"] == ["three", "three"]
    assert Start("three") not in core.woken()
