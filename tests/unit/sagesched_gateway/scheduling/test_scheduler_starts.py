"""Who starts when there is room, and who waits."""

import pytest

from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.commands import Reject, Start, WakeAt
from sagesched_gateway.scheduling.job import IllegalEventError, JobState


def test_an_idle_engine_gets_a_request_at_once(a_core):
    core = a_core("gittins-boost")
    assert core.submit("a") == [Start("a")]
    assert core.scheduler.job_state("a") is JobState.STARTED


def test_a_full_engine_gets_the_next_when_one_finishes(a_core):
    core = a_core()
    core.submit("a")
    assert core.submit("b") == []
    assert core.scheduler.job_state("b") is JobState.WAITING
    assert core.finish("a") == [Start("b")]
    assert core.scheduler.job_state("a") is JobState.FORGOTTEN


def test_more_slots_start_more(a_core):
    core = a_core()
    for job_id in "abcd":
        core.submit(job_id)
    assert core.change(slots=3) == [Start("b"), Start("c")]


def test_fewer_slots_stop_nobody(a_core):
    core = a_core(slots=3)
    for job_id in "abcd":
        core.submit(job_id)
    assert core.change(slots=1) == []
    assert core.finish("a") == []
    assert core.finish("b") == []
    assert core.finish("c") == [Start("d")]


@pytest.mark.parametrize("policy", ["fcfs", "ssjf", "sagesched", "gittins-boost"])
def test_equal_requests_go_by_arrival(a_core, policy):
    core = a_core(policy)
    for instant, job_id in enumerate("abcd"):
        core.now = float(instant)
        core.submit(job_id, output=50)
    assert core.drain() == list("abcd")


def test_a_request_may_arrive_earlier_than_it_is_told(a_core):
    core = a_core()
    core.submit("running")
    core.now = 5.0
    core.submit("second", arrival_at=2.0)
    core.submit("first", arrival_at=1.0)
    assert core.drain() == ["running", "first", "second"]


def test_what_can_never_fit_is_refused_with_the_reason(a_core):
    core = a_core(kv_blocks=10)
    [command] = core.submit("a", prompt=50, max_tokens=100)
    assert isinstance(command, Reject)
    assert (command.job_id, command.reason) == ("a", "never-fits")
    assert command.detail == "50 prompt tokens and max_tokens 100 need 15 KV blocks, the engine has 10"
    assert core.scheduler.job_state("a") is JobState.FORGOTTEN


def test_a_shrunk_engine_refuses_what_it_can_no_longer_hold(a_core):
    core = a_core(kv_blocks=100)
    core.submit("running")
    core.submit("big", max_tokens=900)
    core.submit("small")
    core.change(kv_blocks=20)
    commands = core.finish("running")
    assert [type(command) for command in commands] == [Reject, Start]
    assert core.started == ["running", "small"]


def test_an_id_in_use_is_the_shells_mistake(a_core):
    core = a_core()
    core.submit("a")
    with pytest.raises(IllegalEventError, match="submitted twice"):
        core.submit("a")


def test_an_id_may_be_used_again_once_forgotten(a_core):
    core = a_core()
    core.submit("a")
    core.finish("a")
    assert core.submit("a") == [Start("a")]


class TestPrefill:
    def test_prompts_wait_for_the_prefill_of_those_before(self, a_core):
        core = a_core(slots=4, max_num_tokens=100)
        core.submit("a", prompt=100)
        assert core.submit("b", prompt=50) == [Start("b")]
        [wake] = core.submit("c", prompt=60)
        assert isinstance(wake, WakeAt)
        assert core.first_token("a") == [Start("c")]

    def test_nobody_passes_a_prompt_that_waits_for_prefill(self, a_core):
        core = a_core(slots=4, max_num_tokens=100)
        core.submit("a", prompt=100)
        core.submit("b", prompt=100)
        assert core.submit("c", prompt=1) == []
        assert core.first_token("a") == [Start("b"), Start("c")]

    def test_an_answer_that_is_not_streamed_wakes_the_core_in_time(self, a_core):
        core = a_core(slots=4, max_num_tokens=100)
        core.submit("a", prompt=100)
        [wake] = core.submit("b", prompt=100)
        assert isinstance(wake, WakeAt)
        assert core.submit("c", prompt=100) == []  # the same instant, not asked for twice
        core.now = wake.at
        [start, again] = core.woken()
        assert start == Start("b")
        assert isinstance(again, WakeAt)
        assert again.at > wake.at

    def test_waking_too_early_is_told_so(self, a_core):
        core = a_core(slots=4, max_num_tokens=100)
        core.submit("a", prompt=100)
        [wake] = core.submit("b", prompt=100)
        assert isinstance(wake, WakeAt)
        core.now = wake.at - 0.001
        assert core.woken() == [wake]

    def test_a_later_token_tells_as_much_as_the_first(self, a_core):
        core = a_core(slots=4, max_num_tokens=100)
        core.submit("a", prompt=100)
        core.submit("b", prompt=100)
        assert core.progress("a", 3) == [Start("b")]


class TestBlockedHead:
    """The head lacks only KV blocks: 100 of them, 95 held by `long`, which reserves ahead."""

    def blocked(self, a_core, policy="ssjf"):
        core = a_core(policy, slots=8, kv_blocks=100, block_tokens=10)
        core.submit("long", prompt=50, max_tokens=900)
        core.submit("head", prompt=50, max_tokens=50, output=1)
        return core

    def test_later_ones_that_fit_pass_it(self, a_core):
        core = self.blocked(a_core)
        assert core.submit("small", prompt=10, max_tokens=10, output=5) == [Start("small")]

    def test_for_a_while_only(self, a_core):
        core = self.blocked(a_core)
        core.now = 0.99
        assert core.submit("passes", prompt=10, max_tokens=10, output=5) == [Start("passes")]
        core.now = 1.0
        assert core.submit("waits", prompt=10, max_tokens=10, output=5) == []
        assert core.finish("long") == [Start("head"), Start("waits")]

    def test_those_that_do_not_fit_do_not_pass(self, a_core):
        core = self.blocked(a_core)
        assert core.submit("too big", prompt=50, max_tokens=10, output=5) == []

    def test_only_the_next_few_are_looked_at(self, a_core):
        core = self.blocked(a_core)
        for number in range(8):
            core.submit(f"too big {number}", prompt=50, max_tokens=10, output=5)
        assert core.submit("small but far behind", prompt=10, max_tokens=10, output=6) == []
        assert core.submit("small and near", prompt=10, max_tokens=10, output=4) == [Start("small and near")]

    def test_nobody_passes_under_fcfs(self, a_core):
        core = self.blocked(a_core, "fcfs")
        assert core.submit("small", prompt=10, max_tokens=10) == []

    def test_nobody_passes_when_slots_are_what_is_missing(self, a_core):
        core = a_core("ssjf", slots=1)
        core.submit("running")
        core.submit("head", output=50)
        assert core.submit("small", output=60) == []

    def test_its_clock_starts_again_when_the_engine_sends_it_back(self, a_core):
        core = self.blocked(a_core)
        core.now = 5.0
        core.finish("long")
        core.submit("other", prompt=50, max_tokens=850)
        core.change(kv_blocks=95)
        assert core.requeue("head") == []
        assert core.submit("small", prompt=10, max_tokens=10, output=5) == [Start("small")]


class TestGrowingEngine:
    def growing(self, a_core, **limits):
        limits = {"slots": 8, "kv_blocks": 20, "kv_headroom_iterations": 0.0, **limits}
        return a_core("ssjf", kv_policy=KvPolicy.MAX_UTILIZATION, **limits)

    def test_prompts_are_what_must_fit(self, a_core):
        core = self.growing(a_core)
        for job_id in "abc":
            core.submit(job_id, prompt=55, max_tokens=100, output=9)
        assert core.started == ["a", "b", "c"]
        assert core.submit("d", prompt=55, max_tokens=100, output=9) == []

    def test_a_report_of_less_than_assumed_makes_room(self, a_core):
        core = self.growing(a_core)
        core.submit("a", prompt=55, max_tokens=140, output=9)
        core.first_token("a")
        core.now = 1.0
        assert core.submit("b", prompt=95, max_tokens=100, output=9) == []
        assert core.progress("a", 20) == [Start("b")]

    def test_headroom_keeps_the_last_blocks_free(self, a_core):
        core = self.growing(a_core, kv_headroom_iterations=20.0)
        core.submit("a", prompt=95, max_tokens=100, output=9)
        # 10 blocks held, 20 iterations of one job = 2 blocks of headroom, so 8 for another prompt.
        assert core.submit("b", prompt=80, max_tokens=100, output=9) == []
        assert core.submit("c", prompt=79, max_tokens=100, output=9) == [Start("c")]

    def test_a_whole_unstreamed_answer_is_counted_as_it_grows(self, a_core):
        core = self.growing(a_core)
        core.submit("a", prompt=55, max_tokens=145, output=9)
        core.now = 10.0
        assert core.scheduler.snapshot().reserved_blocks == 6  # as of the last event
        assert core.submit("b", prompt=5, max_tokens=10, output=9) == []
        assert core.scheduler.snapshot().reserved_blocks == 20


class TestProgressMakesRoom:
    """Between two other events only progress is heard; whom it lets in must not depend on it."""

    def stuck(self, a_core, knobs=None):
        """Twenty blocks, 16 of them assumed to be held by `long`; `big` needs 12 of them and stands first."""
        core = a_core(
            "ssjf",
            knobs=knobs,
            kv_policy=KvPolicy.MAX_UTILIZATION,
            slots=8,
            kv_blocks=20,
            kv_headroom_iterations=0.0,
        )
        core.submit("long", prompt=50, max_tokens=150)
        core.first_token("long")
        core.now = 1.0
        core.submit("middle", prompt=95, max_tokens=100, output=50)
        core.submit("big", prompt=115, max_tokens=50, output=10)
        assert core.started == ["long"]
        return core

    def test_for_one_that_may_pass(self, a_core):
        core = self.stuck(a_core)
        assert core.progress("long", 48) == [Start("middle")]

    def test_for_nobody_when_it_is_too_little(self, a_core):
        core = self.stuck(a_core)
        assert core.progress("long", 60) == []

    def test_for_the_head_alone_once_passing_is_over(self, a_core):
        core = self.stuck(a_core)
        core.now = 2.0
        assert core.progress("long", 48) == []
        assert core.finish("long") == [Start("big")]

    def test_for_one_whose_prefill_had_to_wait(self, a_core):
        core = a_core("ssjf", slots=8, kv_blocks=20, max_num_tokens=100)
        core.submit("running", prompt=5, max_tokens=5)
        core.first_token("running")
        core.submit("head", prompt=10, max_tokens=190, output=1)
        assert core.submit("quick", prompt=80, max_tokens=10, output=2) == [Start("quick")]
        [wake] = core.submit("behind", prompt=80, max_tokens=10, output=2)
        assert isinstance(wake, WakeAt)
        core.now = wake.at
        assert core.progress("running", 2) == [Start("behind")]

    def test_for_the_oldest_once_its_age_decides(self, a_core):
        core = self.stuck(a_core, knobs={"age_guard": True})
        core.now = 2.0
        assert core.progress("long", 48) == []  # ten blocks free, `big` is first and passing is over
        core.now = 6.2
        assert core.progress("long", 48) == [Start("middle")]
