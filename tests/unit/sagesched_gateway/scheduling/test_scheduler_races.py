"""Cancels, refusals and late news: every job gives back exactly what it took."""

import pytest

from sagesched_gateway.scheduling.commands import Start, Stop
from sagesched_gateway.scheduling.job import IllegalEventError, JobState


def test_a_waiting_job_is_forgotten_when_cancelled(a_core):
    core = a_core()
    core.submit("running")
    core.submit("a")
    assert core.cancel("a") == []
    assert core.scheduler.job_state("a") is JobState.FORGOTTEN
    assert core.finish("running") == []


def test_a_running_job_is_stopped_once_and_holds_its_place_till_the_end(a_core):
    core = a_core()
    core.submit("a")
    core.submit("b")
    assert core.cancel("a") == [Stop("a")]
    assert core.cancel("a") == []
    assert core.scheduler.job_state("a") is JobState.STOPPING
    assert core.scheduler.snapshot().reserved_slots == 1
    assert core.finish("a") == [Start("b")]


def test_a_generating_job_may_be_stopped_and_still_progress(a_core):
    core = a_core()
    core.submit("a")
    core.first_token("a")
    assert core.cancel("a") == [Stop("a")]
    assert core.progress("a", 7) == []
    assert core.scheduler.job_state("a") is JobState.STOPPING


def test_cancelling_a_blocked_head_frees_the_way(a_core):
    core = a_core("fcfs", slots=8, kv_blocks=100)
    core.submit("long", prompt=50, max_tokens=900)
    core.submit("head", prompt=50, max_tokens=50)
    core.submit("small", prompt=10, max_tokens=10)
    assert core.cancel("head") == [Start("small")]


def test_a_job_that_the_engine_refused_keeps_its_arrival(a_core):
    core = a_core()
    core.submit("a")
    core.now = 1.0
    core.submit("b")
    core.now = 2.0
    # It is the older one, so it is the first to be tried again.
    assert core.requeue("a") == [Start("a")]
    assert core.drain() == ["a", "a", "b"]


def test_a_refused_job_whose_client_has_gone_is_forgotten(a_core):
    core = a_core()
    core.submit("a")
    core.submit("b")
    core.cancel("a")
    assert core.requeue("a") == [Start("b")]
    assert core.scheduler.job_state("a") is JobState.FORGOTTEN


def test_after_its_first_token_a_job_cannot_wait_again(a_core):
    core = a_core()
    core.submit("a")
    core.first_token("a")
    with pytest.raises(IllegalEventError, match="cannot go from generating to waiting"):
        core.requeue("a")


@pytest.mark.parametrize("news", ["predict", "progress", "first_token", "cancel"])
def test_news_of_a_job_that_just_ended_is_ignored(a_core, news):
    core = a_core()
    core.submit("a")
    core.finish("a")
    arguments = {"predict": [10.0], "progress": [10]}.get(news, [])
    assert getattr(core, news)("a", *arguments) == []


@pytest.mark.parametrize("news", ["progress", "first_token"])
def test_late_tokens_of_a_refused_job_are_ignored(a_core, news):
    core = a_core(slots=1)
    core.submit("a")
    core.submit("b")
    core.change(slots=1, kv_blocks=None)
    core.cancel("b")
    core.submit("c", arrival_at=-1.0)
    core.requeue("a")  # c is older and takes the slot
    assert core.scheduler.job_state("a") is JobState.WAITING
    assert getattr(core, news)("a", *([4] if news == "progress" else [])) == []


@pytest.mark.parametrize("news", ["finish", "requeue"])
@pytest.mark.parametrize("waits", [True, False])
def test_the_engine_cannot_end_what_it_does_not_have(a_core, news, waits):
    core = a_core()
    core.submit("running")
    if waits:
        core.submit("a")
    with pytest.raises(IllegalEventError, match="without being in flight"):
        getattr(core, news)("a")
