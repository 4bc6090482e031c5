"""What fits beside what is in flight, under each of the three limits."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sagesched_gateway.scheduling.admission import (
    HEADROOM_ITERATIONS,
    LEAST_HEADROOM_ITERATIONS,
    Ledger,
    Obstacle,
)
from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy
from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.prefills import HOLD_ITERATIONS
from sagesched_gateway.scheduling.reservation import Need

RESERVING = EngineCapacity(
    slots=8, kv_blocks=100, block_tokens=10, max_num_tokens=100, iteration_s=0.01, prefill_s_per_token=1e-4
)
GROWING = replace(RESERVING, kv_policy=KvPolicy.MAX_UTILIZATION, kv_headroom_iterations=0.0)


def a_ledger(capacity: EngineCapacity, *in_flight: Need, prefilled: bool = True) -> Ledger:
    """A ledger with jobs 0, 1, … started at instant 0, their prefill over unless told otherwise."""
    ledger = Ledger(capacity)
    for number, need in enumerate(in_flight):
        ledger.reserve(str(number), need, 0.0)
        if prefilled:
            ledger.grow(str(number), 0, 0.0)
    return ledger


class TestSlots:
    def test_as_many_as_there_are(self):
        ledger = a_ledger(replace(RESERVING, slots=2), Need(1, 1))
        assert ledger.fits(Need(1, 1), 0.0)
        ledger.reserve("last", Need(1, 1), 0.0)
        assert ledger.obstacle(Need(1, 1), 0.0) is Obstacle.SLOTS
        ledger.release("0")
        assert ledger.fits(Need(1, 1), 0.0)

    def test_lookahead_is_sent_beyond_them(self):
        ledger = a_ledger(replace(RESERVING, slots=1, lookahead=1), Need(1, 1))
        assert ledger.num_slots == 2
        assert ledger.fits(Need(1, 1), 0.0)


class TestPrefill:
    def test_one_and_a_half_iterations_may_be_on_their_way(self):
        ledger = a_ledger(RESERVING, Need(100, 1), prefilled=False)
        assert ledger.fits(Need(50, 1), 0.0)
        assert ledger.obstacle(Need(51, 1), 0.0) is Obstacle.PREFILL

    def test_one_is_always_allowed(self):
        ledger = Ledger(replace(RESERVING, max_num_tokens=100))
        assert ledger.fits(Need(100, 1), 0.0)

    def test_a_first_token_ends_it(self):
        ledger = a_ledger(RESERVING, Need(100, 1), prefilled=False)
        ledger.grow("0", 1, 0.0)
        assert ledger.unprefilled_tokens == 0
        assert ledger.next_prefill_due_at is None
        assert ledger.fits(Need(100, 1), 0.0)

    def test_without_one_it_is_assumed_over_in_time(self):
        ledger = a_ledger(RESERVING, Need(100, 1), prefilled=False)
        # Twice 100 tokens at 0.1 ms, and four iterations of 10 ms.
        due_at = ledger.next_prefill_due_at
        assert due_at == pytest.approx(0.02 + 0.04)
        ledger.assume_prefilled(due_at - 1e-6)
        assert ledger.unprefilled_tokens == 100
        ledger.assume_prefilled(due_at)
        assert ledger.unprefilled_tokens == 0

    def test_those_behind_wait_for_those_before(self):
        ledger = Ledger(RESERVING)
        ledger.reserve("big", Need(100, 1), 0.0)
        ledger.reserve("small", Need(1, 1), 0.0)
        ledger.assume_prefilled(0.0602)
        assert ledger.unprefilled_tokens == 1
        ledger.assume_prefilled(0.0603)
        assert ledger.unprefilled_tokens == 0


def run_beside(ledger: Ledger, others: Sequence[str], iterations: range, duration_s: float = 0.01) -> None:
    """So many iterations in which those jobs get a token each."""
    for iteration in iterations:
        ledger.assume_prefilled(iteration * duration_s)
        for job_id in others:
            ledger.grow(job_id, iteration, iteration * duration_s)


class TestSomebodyWaitsInside:
    """A job streams, another one has been sent behind it, and the engine does not take it up."""

    BLIND = replace(GROWING, slots=32, kv_blocks=None, knows_slots=False)

    def a_ledger(self) -> Ledger:
        ledger = Ledger(self.BLIND)
        for number in range(8):
            ledger.reserve(f"runs{number}", Need(50, 5000, streams=True), 0.0)
        run_beside(ledger, self.running, range(1, 4))
        ledger.reserve("waits", Need(50, 500, streams=True), 0.03)
        return ledger

    running = tuple(f"runs{number}" for number in range(8))

    def test_that_teaches_before_its_first_token(self):
        ledger = self.a_ledger()
        run_beside(ledger, self.running, range(4, 20))
        assert ledger.room.num_waits == 1
        assert ledger.room.usable_blocks is not None
        run_beside(ledger, self.running, range(20, 100))
        ledger.grow("waits", 1, 1.0)
        assert ledger.room.num_waits == 1  # the same one, whose first token tells nothing new

    def test_nobody_is_sent_behind_it_however_long_that_takes(self):
        ledger = self.a_ledger()
        run_beside(ledger, self.running, range(4, 1500))
        assert ledger.unprefilled_tokens == 50
        assert ledger.obstacle(Need(1, 1), 15.0) is Obstacle.PREFILL
        for job_id in self.running:
            ledger.release(job_id)
        ledger.assume_prefilled(15.0)
        assert ledger.obstacle(Need(1, 1), 15.0) is Obstacle.PREFILL
        ledger.assume_prefilled(15.0 + HOLD_ITERATIONS * 0.011)  # alone in the engine it has been forgotten
        assert ledger.unprefilled_tokens == 0
        assert ledger.fits(Need(1, 1), 18.0)


class TestKvReservedAhead:
    def test_the_cap_counts_from_the_start(self):
        ledger = a_ledger(RESERVING, Need(50, 450))
        assert ledger.reserved_blocks(0.0) == 50
        assert ledger.fits(Need(1, 499), 0.0)
        assert ledger.obstacle(Need(1, 500), 0.0) is Obstacle.KV

    def test_progress_changes_nothing(self):
        ledger = a_ledger(RESERVING, Need(50, 450))
        ledger.grow("0", 200, 1.0)
        assert ledger.reserved_blocks(9.0) == 50

    def test_the_end_frees_all(self):
        ledger = a_ledger(RESERVING, Need(50, 450))
        ledger.release("0")
        assert ledger.reserved_blocks(0.0) == 0


class TestKvGrowing:
    def test_a_job_holds_what_it_has_and_one_more(self):
        ledger = a_ledger(GROWING, Need(50, 450))
        ledger.grow("0", 59, 0.0)
        assert ledger.reserved_blocks(0.0) == 11
        ledger.grow("0", 60, 0.0)
        assert ledger.reserved_blocks(0.0) == 12

    def test_silence_counts_as_steady_progress(self):
        ledger = a_ledger(GROWING, Need(50, 450))
        ledger.grow("0", 9, 0.0)
        # 60 tokens now, ten more each 0.1 s.
        assert [ledger.reserved_blocks(0.1 * tenths) for tenths in range(4)] == [6, 7, 8, 9]

    def test_never_beyond_the_cap(self):
        ledger = a_ledger(GROWING, Need(50, 50))
        assert ledger.reserved_blocks(1e6) == 10

    def test_nothing_grows_before_its_prefill_may_be_over(self):
        ledger = a_ledger(GROWING, Need(49, 500), prefilled=False)
        due_at = ledger.next_prefill_due_at
        assert due_at is not None
        assert ledger.reserved_blocks(due_at) == 5
        assert ledger.reserved_blocks(due_at + 0.1) == 6

    def test_a_report_corrects_the_estimate_downward(self):
        ledger = a_ledger(GROWING, Need(50, 450))
        assert ledger.reserved_blocks(2.0) == 26
        ledger.grow("0", 100, 2.0)
        assert ledger.reserved_blocks(2.0) == 16

    def test_reports_may_overtake_each_other(self):
        ledger = a_ledger(GROWING, Need(50, 450))
        ledger.grow("0", 100, 1.0)
        ledger.grow("0", 1, 1.0)
        assert ledger.reserved_blocks(1.0) == 16

    def test_a_new_job_needs_its_prompt_and_one_token(self):
        ledger = a_ledger(GROWING, *[Need(79, 800)] * 7)
        # 7 · 8 blocks held, so 44 free.
        assert ledger.blocks_to_start(Need(90, 800)) == 10
        assert ledger.blocks_to_start(Need(89, 800)) == 9
        assert ledger.has_blocks(44, 0.0)
        assert not ledger.has_blocks(45, 0.0)

    def test_headroom_is_growth_of_everything_in_flight(self):
        ledger = a_ledger(replace(GROWING, kv_headroom_iterations=5.0), *[Need(79, 800)] * 4)
        # 80 tokens each, in five iterations 85: nine blocks of ten, so 36 of 100.
        assert ledger.reserved_blocks(0.0) == 32
        assert ledger.has_blocks(64, 0.0)
        assert not ledger.has_blocks(65, 0.0)

    @pytest.mark.parametrize(
        ("set_to", "greedy", "iterations"),
        [
            (None, False, HEADROOM_ITERATIONS),
            (None, True, LEAST_HEADROOM_ITERATIONS),
            (10.0, True, 10.0),
        ],
    )
    def test_headroom_is_on_unless_greedy_or_set(self, set_to, greedy, iterations):
        ledger = a_ledger(replace(GROWING, kv_headroom_iterations=set_to), Need(1, 900))
        ledger.resize(ledger.capacity, greedy)
        held = math.ceil((2 + iterations) / 10)
        assert ledger.has_blocks(100 - held, 0.0)
        assert not ledger.has_blocks(101 - held, 0.0)

    def test_an_empty_engine_needs_no_headroom(self):
        ledger = Ledger(replace(GROWING, kv_headroom_iterations=1e9))
        assert ledger.fits(Need(99, 900), 0.0)


class TestPromptCorrected:
    def test_a_job_counts_with_the_engines_own_length(self):
        ledger = a_ledger(GROWING, Need(100, 50), Need(100, 50))
        before = ledger.reserved_blocks(0.0)
        ledger.correct_prompt("0", 200, 0.0)
        assert ledger.reserved_blocks(0.0) == before + 10
        ledger.correct_prompt("0", 50, 0.0)
        assert ledger.reserved_blocks(0.0) == before - 5
        ledger.check(0.0)
        ledger.release("0")
        ledger.release("1")
        assert ledger.reserved_blocks(0.0) == 0


class TestNeverFits:
    def test_a_prompt_beyond_one_iteration(self):
        ledger = Ledger(RESERVING)
        assert ledger.obstacle(Need(101, 1), 0.0) is Obstacle.NEVER_FITS
        assert ledger.never_fits(Need(101, 1)) == (
            "the prompt has 101 tokens, the engine takes at most 100 in one iteration"
        )

    @pytest.mark.parametrize("capacity", [RESERVING, GROWING])
    def test_more_blocks_than_there_are(self, capacity):
        ledger = Ledger(capacity)
        assert ledger.never_fits(Need(100, 900)) is None
        assert ledger.never_fits(Need(100, 901)) == (
            "100 prompt tokens and max_tokens 901 need 101 KV blocks, the engine has 100"
        )

    def test_without_a_known_pool_any_length_fits(self):
        assert Ledger(replace(RESERVING, kv_blocks=None)).fits(Need(100, 10**9), 0.0)


class TestResize:
    def test_what_is_reserved_stays(self):
        ledger = a_ledger(RESERVING, Need(50, 450))
        ledger.resize(replace(RESERVING, slots=1, kv_blocks=60), greedy=False)
        assert (ledger.num_in_flight, ledger.reserved_blocks(0.0)) == (1, 50)
        assert ledger.obstacle(Need(1, 1), 0.0) is Obstacle.SLOTS

    def test_another_way_to_reserve_counts_anew(self):
        ledger = a_ledger(GROWING, Need(50, 450))
        assert ledger.reserved_blocks(0.0) == 6
        ledger.resize(RESERVING, greedy=False)
        assert ledger.reserved_blocks(0.0) == 50
        ledger.resize(replace(GROWING, block_tokens=20), greedy=False)
        assert ledger.reserved_blocks(0.0) == 3

    def test_a_slower_engine_has_made_less(self):
        ledger = a_ledger(GROWING, Need(50, 450))
        assert ledger.reserved_blocks(1.0) == 16
        ledger.resize(replace(GROWING, iteration_s=0.1), greedy=False)
        assert ledger.reserved_blocks(1.0) == 7
        ledger.check(1.0)


def test_an_answer_in_one_piece_does_not_hurry_the_clock_of_the_others():
    """Its first token is heard of together with all of them."""
    ledger = Ledger(replace(GROWING, kv_blocks=10_000))
    ledger.reserve("long", Need(10, 500), 0.0)
    ledger.reserve("short", Need(10, 500), 0.0)
    ledger.assume_prefilled(0.1)
    ledger.grow("short", 1, 1.0)
    ledger.grow("short", 95, 1.0)
    ledger.release("short")
    assert ledger.estimated_output_tokens("long", 1.0) == pytest.approx(95, abs=6)


@pytest.mark.parametrize("kv_policy", list(KvPolicy))
@pytest.mark.parametrize("policy", ["fcfs", "amax", "amin"])
def test_what_others_hold_for_now_refuses_nobody(a_core, policy, kv_policy):
    core = a_core(policy, slots=4, kv_blocks=8, whole_kv_blocks=20, kv_policy=kv_policy)
    core.submit("running", prompt=10, max_tokens=60, output=60)
    commands = core.submit("large", prompt=60, max_tokens=100, output=100)
    assert not [command for command in commands if isinstance(command, Reject)]
    core.first_token("running")
    core.now = 0.5
    core.finish("running")
    assert core.started == ["running", "large"]
    [reject] = core.submit("larger", prompt=60, max_tokens=150)
    assert "the engine has 20" in reject.detail
