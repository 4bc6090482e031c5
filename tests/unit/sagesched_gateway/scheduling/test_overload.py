"""Overload: a limit in predicted seconds, who goes first, and promises to the refused."""

import pytest

from sagesched_gateway.scheduling import events, overload
from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.overload import GRACE_S, OVERLOADED
from sagesched_gateway.scheduling.settings import OverloadSettings, PressureSettings
from sagesched_predictor.distribution import LengthDistribution


def limited(a_core, seconds: float = 3.0):
    """One slot: a token is 10 ms, so 100 of them are a second of work."""
    core = a_core("fcfs", slots=1)
    limit = OverloadSettings(max_backlog_s=seconds)
    core.handle(events.PressureChanged(settings=PressureSettings(overload=limit)))
    submit(core, "running", 100)
    return core


def submit(core, job_id: str, output: int, priority: int = 0, prompt: int = 10) -> list[Reject]:
    commands = core.handle(
        events.Submitted(
            job_id=job_id,
            arrival_at=core.now,
            prompt_tokens=prompt,
            max_tokens=1000,
            distribution=LengthDistribution.point(output),
            priority=priority,
        )
    )
    return [command for command in commands if isinstance(command, Reject)]


def test_nobody_is_refused_below_the_limit(a_core):
    core = limited(a_core)
    assert submit(core, "one", 100) == submit(core, "two", 100) == []


def test_the_dearest_newcomer_goes_first(a_core):
    core = limited(a_core)
    submit(core, "one", 100)
    submit(core, "dear", 150)
    [reject] = submit(core, "cheap", 80)
    assert (reject.job_id, reject.reason) == ("dear", OVERLOADED)
    assert list(core.scheduler.books.queue) == ["one", "cheap"]


def test_who_has_waited_is_safe(a_core):
    core = limited(a_core)
    submit(core, "dear", 250)
    core.now = 2.0
    [reject] = submit(core, "cheap", 80)
    assert reject.job_id == "cheap"


def test_the_sheddable_go_before_any_newcomer(a_core):
    core = limited(a_core)
    submit(core, "batch", 120, priority=-1)
    submit(core, "less still", 100, priority=-2)
    core.now = 5.0
    first, *_ = submit(core, "newcomer", 150)
    assert first.job_id == "less still"


def test_what_is_over_is_not_remembered(a_core):
    core = limited(a_core, 1e6)
    for number in range(100):
        submit(core, f"batch {number}", 10, priority=-1)
        core.handle(events.Cancelled(job_id=f"batch {number}"))
    assert not core.scheduler.books.pressure._overload._sheddable


def test_as_many_go_as_it_takes(a_core):
    core = limited(a_core)
    submit(core, "batch", 100, priority=-1)
    submit(core, "other batch", 100, priority=-1)
    assert {reject.job_id for reject in submit(core, "big", 290)} == {"batch", "other batch"}


def test_retry_after_is_when_the_excess_has_drained(a_core):
    core = limited(a_core)
    submit(core, "one", 200)
    core.now = 1.5
    [first] = submit(core, "big", 250)
    rate = core.scheduler.snapshot().drain_ratio * 100.0
    assert first.retry_after_s == pytest.approx((200 + 250) / rate - 3.0, rel=0.01)
    [second] = submit(core, "bigger", 260, prompt=11)
    # The first is expected back before it.
    assert second.retry_after_s == pytest.approx((200 + 250 + 260) / rate - 3.0, rel=0.01)
    assert "try again in" in first.detail


def test_who_comes_back_as_told_is_let_in_and_others_are_not(a_core):
    core = limited(a_core)
    submit(core, "one", 200)
    core.now = 1.5
    [refused] = submit(core, "big", 250)
    core.now += refused.retry_after_s or 0.0
    # Nothing has drained meanwhile, and a stranger of another size tries to take the room.
    assert [reject.job_id for reject in submit(core, "stranger", 100, prompt=33)] == ["stranger"]
    assert submit(core, "big", 250) == []
    assert [reject.job_id for reject in submit(core, "big again", 250)] == ["big again"]


def test_a_promise_nobody_takes_up_lapses(a_core):
    core = limited(a_core)
    submit(core, "one", 200)
    core.now = 1.5
    [refused] = submit(core, "big", 250)
    core.now += (refused.retry_after_s or 0.0) + GRACE_S + 0.1
    assert [reject.job_id for reject in submit(core, "big", 250)] == ["big"]


def test_no_end_of_promises_is_kept(a_core, monkeypatch):
    monkeypatch.setattr(overload, "MOST_PROMISES", 3)
    core = limited(a_core)
    submit(core, "one", 200)
    core.now = 1.5
    told = [submit(core, f"try {number}", 250)[0].retry_after_s for number in range(6)]
    assert told[0] < told[1] < told[2] < told[3] == told[4] == told[5]
    core.now += told[3] + GRACE_S + 1.0
    submit(core, "later", 250)
    kept = core.scheduler.books.pressure._overload
    assert [kept._promised_steps] == pytest.approx([promise.steps for promise in kept._to_come])


def test_one_may_always_wait(a_core):
    core = limited(a_core, seconds=0.1)
    assert submit(core, "alone", 1000) == []


def test_a_limit_is_positive():
    with pytest.raises(ValueError, match="above 0"):
        OverloadSettings(max_backlog_s=0.0)


def test_who_ran_before_is_no_newcomer(a_core):
    core = a_core("fcfs", slots=2)
    limit = OverloadSettings(max_backlog_s=3.0)
    core.handle(events.PressureChanged(settings=PressureSettings(overload=limit)))
    submit(core, "dear", 280)
    submit(core, "running", 100)
    core.now = 5.0
    core.change(slots=1)
    core.requeue("dear")  # the engine was away
    [reject] = submit(core, "newcomer", 150)
    assert reject.job_id == "newcomer"


@pytest.mark.parametrize("priority", [-1, 0], ids=["sheddable", "newcomers"])
def test_a_limit_lowered_far_below_what_waits_looks_at_each_once(a_core, monkeypatch, priority):
    core = limited(a_core, seconds=1e6)
    outputs = {f"{number}": 50 + (number * 37) % 100 for number in range(200)}
    for job_id, output in outputs.items():
        submit(core, job_id, output, priority)
    core.handle(
        events.PressureChanged(settings=PressureSettings(overload=OverloadSettings(max_backlog_s=3.0)))
    )
    looks = []
    waits = overload._waits
    monkeypatch.setattr(overload, "_waits", lambda job: looks.append(job) or waits(job))
    refused = [reject.job_id for reject in submit(core, "last", 10, priority)]
    assert len(refused) > 190
    dearest_first = sorted((outputs[job_id] for job_id in refused), reverse=True)
    assert [outputs[job_id] for job_id in refused] == dearest_first
    assert len(looks) <= 2 * 201
