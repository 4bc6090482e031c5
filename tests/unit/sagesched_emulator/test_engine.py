"""The executor's rules, a small engine worked by hand per test. Iterations take 1 s unless said otherwise."""

import pytest

from sagesched_emulator.engine import Engine
from sagesched_emulator.iteration import Emission, Iteration
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.step_time import StepTime
from sagesched_gateway.scheduling.capacity import KvPolicy

ONE_SECOND = StepTime(1.0, 0.0, 0.0, 0.0)


def an_engine(
    *,
    slots: int = 4,
    blocks: int = 100,
    block_tokens: int = 4,
    max_num_tokens: int = 100,
    kv_policy: KvPolicy = KvPolicy.MAX_UTILIZATION,
    step_time: StepTime = ONE_SECOND,
    stream_interval: int = 1,
) -> Engine:
    profile = EngineProfile(
        name="tiny",
        step_time=step_time,
        max_batch_size=slots,
        max_num_tokens=max_num_tokens,
        kv_blocks=blocks,
        block_tokens=block_tokens,
        kv_policy=kv_policy,
    )
    return Engine(profile, stream_interval)


def steps(engine: Engine, number: int, now: float = 0.0) -> list[Iteration]:
    done: list[Iteration] = []
    for _ in range(number):
        done.append(engine.step(done[-1].ended_at if done else now))
    return done


def totals(iteration: Iteration) -> dict[str, int]:
    return {emission.request_id: emission.total_tokens for emission in iteration.emissions}


def test_the_first_token_comes_from_the_prefill_and_one_more_from_each_iteration() -> None:
    engine = an_engine()
    engine.submit("a", prompt_tokens=5, max_tokens=9, output_tokens=3, now=0.0)
    first, second, third = steps(engine, 3)
    assert first.emissions == [Emission("a", 1, 1, first=True, final=False, stopped=False)]
    assert second.emissions == [Emission("a", 1, 2, first=False, final=False, stopped=False)]
    assert third.emissions == [Emission("a", 1, 3, first=False, final=True, stopped=False)]
    assert third.ended_at == 3.0
    assert engine.idle


def test_output_is_cut_at_max_tokens() -> None:
    engine = an_engine()
    engine.submit("a", prompt_tokens=1, max_tokens=2, output_tokens=50, now=0.0)
    assert [totals(iteration) for iteration in steps(engine, 2)] == [{"a": 1}, {"a": 2}]
    assert engine.idle


def test_a_single_token_is_first_and_final() -> None:
    engine = an_engine()
    engine.submit("a", prompt_tokens=1, max_tokens=1, output_tokens=1, now=0.0)
    assert engine.step(0.0).emissions == [Emission("a", 1, 1, first=True, final=True, stopped=False)]


def test_emits_the_first_each_third_and_the_last_token() -> None:
    engine = an_engine(stream_interval=3)
    engine.submit("a", prompt_tokens=1, max_tokens=9, output_tokens=8, now=0.0)
    emissions = [emission for iteration in steps(engine, 8) for emission in iteration.emissions]
    assert [(emission.new_tokens, emission.total_tokens) for emission in emissions] == [
        (1, 1),
        (2, 3),
        (3, 6),
        (2, 8),
    ]


def test_an_iteration_takes_what_its_batch_costs() -> None:
    engine = an_engine(step_time=StepTime(10.0, 1.0, 0.1, 0.5))
    engine.submit("a", prompt_tokens=6, max_tokens=9, output_tokens=3, now=0.0)
    engine.submit("b", prompt_tokens=4, max_tokens=9, output_tokens=2, now=0.0)
    first, second, third = steps(engine, 3)
    # both in prefill: 10 + 2 x 1 + 10 x 0.5
    assert first.ended_at - first.started_at == pytest.approx(17.0)
    # both generating from 7 and 5 cached tokens: 10 + 2 + 12 x 0.1
    assert second.ended_at - second.started_at == pytest.approx(13.2)
    # b has left, a has 8: 10 + 1 + 0.8
    assert third.ended_at - third.started_at == pytest.approx(11.8)
    assert third.statistics.busy_s == pytest.approx(17.0 + 13.2 + 11.8)


def test_slots_limit_the_batch_and_the_next_in_line_takes_the_free_one() -> None:
    engine = an_engine(slots=2)
    for name, output_tokens in (("a", 3), ("b", 1), ("c", 2)):
        engine.submit(name, 1, 9, output_tokens, now=0.0)
    assert [totals(iteration) for iteration in steps(engine, 3)] == [
        {"a": 1, "b": 1},
        {"a": 2, "c": 1},
        {"a": 3, "c": 2},
    ]


def test_prompts_beyond_the_tokens_of_an_iteration_wait_in_order() -> None:
    engine = an_engine(max_num_tokens=10)
    for name, prompt_tokens in (("a", 6), ("b", 5), ("c", 1)):
        engine.submit(name, prompt_tokens, 9, 9, now=0.0)
    first, second = steps(engine, 2)
    # 6 + 5 exceed 10, and c does not pass b. Then one generating token leaves room for 5 + 1.
    assert totals(first) == {"a": 1}
    assert totals(second) == {"a": 2, "b": 1, "c": 1}
    assert (second.statistics.num_generation, second.statistics.num_context) == (1, 2)


def test_reserving_ahead_blocks_the_line_at_the_first_that_does_not_fit() -> None:
    engine = an_engine(blocks=5, kv_policy=KvPolicy.GUARANTEED_NO_EVICT)
    engine.submit("a", 4, max_tokens=8, output_tokens=2, now=0.0)  # ceil(12 / 4) = 3 blocks
    engine.submit("b", 4, max_tokens=5, output_tokens=1, now=0.0)  # ceil(9 / 4) = 3 blocks
    engine.submit("c", 1, max_tokens=1, output_tokens=1, now=0.0)  # 1 block, and behind b
    first, second, third = steps(engine, 3)
    assert [totals(iteration) for iteration in (first, second, third)] == [
        {"a": 1},
        {"a": 2},
        {"b": 1, "c": 1},
    ]
    assert (first.statistics.used_blocks, third.statistics.used_blocks) == (3, 4)


def test_growing_takes_a_block_when_the_held_ones_are_full() -> None:
    engine = an_engine(blocks=10, block_tokens=4)
    engine.submit("a", prompt_tokens=2, max_tokens=9, output_tokens=7, now=0.0)
    # prompt + progress + 1: 3, 4, 5, 6, 7, 8, 9 tokens
    used = [iteration.statistics.used_blocks for iteration in steps(engine, 7)]
    assert used == [1, 1, 2, 2, 2, 2, 3]
    assert engine.cache.used_blocks == 0


def test_the_latest_started_is_paused_keeps_its_progress_and_is_prefilled_again() -> None:
    engine = an_engine(blocks=4, block_tokens=4, step_time=StepTime(1.0, 0.0, 0.0, 0.01))
    for name, output_tokens in (("a", 6), ("b", 6)):
        engine.submit(name, prompt_tokens=7, max_tokens=9, output_tokens=output_tokens, now=0.0)
    engine.submit("c", prompt_tokens=1, max_tokens=1, output_tokens=1, now=0.0)
    # a and b take 2 blocks each for 8 tokens; the 9th of a needs a third, so b gives way after one token.
    # b comes back for its 7 + 1 + 1 tokens, 3 blocks, only when a's are free; c stays behind it.
    done = steps(engine, 7)
    assert [totals(iteration) for iteration in done] == [
        {"a": 1, "b": 1},
        {"a": 2},
        {"a": 3},
        {"a": 4},
        {"a": 5},
        {"a": 6},
        {"b": 2, "c": 1},
    ]
    assert [iteration.statistics.num_paused for iteration in done] == [0, 1, 0, 0, 0, 0, 0]
    assert done[1].statistics.evictions == 1
    # 7 + 1 tokens of b and 1 of c are prefilled
    assert done[6].ended_at - done[6].started_at == pytest.approx(1.09)
    assert done[6].emissions[0] == Emission("b", 1, 2, first=False, final=False, stopped=False)


def test_progress_beyond_the_tokens_of_an_iteration_is_prefilled_alone() -> None:
    engine = an_engine(blocks=6, block_tokens=2, max_num_tokens=4)
    engine.submit("a", prompt_tokens=2, max_tokens=10, output_tokens=6, now=0.0)
    engine.submit("b", prompt_tokens=2, max_tokens=10, output_tokens=6, now=0.0)
    # Both grow to 3 blocks, good for 2 + 3 + 1 tokens in the fourth iteration. In the fifth a needs room for
    # 7, so b gives way. Its 2 + 4 tokens are more than an iteration takes; it comes back when a has left.
    done = steps(engine, 8)
    assert [totals(iteration) for iteration in done] == [
        {"a": 1, "b": 1},
        {"a": 2, "b": 2},
        {"a": 3, "b": 3},
        {"a": 4, "b": 4},
        {"a": 5},
        {"a": 6},
        {"b": 5},
        {"b": 6},
    ]


def test_stopping_a_running_request_frees_its_place_for_the_next_iteration() -> None:
    engine = an_engine(slots=1)
    engine.submit("a", 1, 9, 9, now=0.0)
    engine.submit("b", 1, 9, 2, now=0.0)
    engine.step(0.0)
    engine.stop("a")
    second = engine.step(1.0)
    assert second.emissions == [
        Emission("a", 0, 1, first=False, final=True, stopped=True),
        Emission("b", 1, 1, first=True, final=False, stopped=False),
    ]


def test_stopping_delivers_tokens_not_yet_emitted() -> None:
    engine = an_engine(stream_interval=10)
    engine.submit("a", 1, 20, 20, now=0.0)
    steps(engine, 4)
    engine.stop("a")
    assert engine.step(4.0).emissions == [Emission("a", 3, 4, first=False, final=True, stopped=True)]


def test_stopping_a_queued_request_ends_it_without_a_token() -> None:
    engine = an_engine()
    engine.submit("a", 1, 9, 9, now=0.0)
    engine.stop("a")
    engine.stop("a")
    only = engine.step(5.0)
    assert only.emissions == [Emission("a", 0, 0, first=False, final=True, stopped=True)]
    assert only.ended_at == 5.0
    assert only.statistics.iteration == 0
    assert engine.idle


def test_stopping_a_paused_request_keeps_its_count() -> None:
    engine = an_engine(blocks=4, block_tokens=4)
    engine.submit("a", 7, 9, 6, now=0.0)
    engine.submit("b", 7, 9, 6, now=0.0)
    steps(engine, 2)
    engine.stop("b")
    assert engine.step(2.0).emissions[0] == Emission("b", 0, 1, first=False, final=True, stopped=True)


def test_stopping_a_stranger_or_a_finished_one_is_nothing() -> None:
    engine = an_engine()
    engine.submit("a", 1, 1, 1, now=0.0)
    engine.step(0.0)
    engine.stop("a")
    engine.stop("stranger")
    assert engine.step(1.0).emissions == []


def test_an_idle_step_takes_no_time_and_is_no_iteration() -> None:
    engine = an_engine()
    idle = engine.step(3.0)
    assert (idle.started_at, idle.ended_at, idle.emissions) == (3.0, 3.0, [])
    assert engine.statistics().iteration == 0


def test_queue_waits_count_seconds_and_iterations_until_the_first_prefill() -> None:
    engine = an_engine(slots=1)
    engine.submit("a", 1, 9, 2, now=0.0)
    engine.submit("b", 1, 9, 1, now=0.0)
    engine.step(0.5)
    engine.submit("c", 1, 9, 1, now=1.0)  # during the first iteration
    engine.step(1.5)
    engine.step(2.5)
    engine.step(3.5)
    assert engine.queue_waits == [(0.5, 0), (2.5, 2), (2.5, 2)]


def test_gauges_describe_the_iteration_and_follow_the_queue() -> None:
    engine = an_engine(slots=2, blocks=7, block_tokens=4, max_num_tokens=9)
    for name in "abcd":
        engine.submit(name, prompt_tokens=4, max_tokens=9, output_tokens=1, now=0.0)
    before = engine.statistics()
    assert (before.num_active, before.num_queued, before.num_scheduled) == (2, 2, 0)
    gauges = engine.step(0.0).statistics
    # two of 4 prompt tokens are prefilled and done; while they ran the other two were queued
    assert (gauges.num_active, gauges.num_scheduled, gauges.num_queued) == (2, 2, 2)
    assert (gauges.num_context, gauges.num_generation, gauges.num_paused) == (2, 0, 0)
    assert (gauges.used_blocks, gauges.free_blocks, gauges.max_blocks, gauges.block_tokens) == (4, 3, 7, 4)
    after = engine.statistics()
    assert (after.num_active, after.num_queued, after.used_blocks) == (2, 0, 0)


def test_refuses_what_can_never_run() -> None:
    engine = an_engine(blocks=5, block_tokens=4, max_num_tokens=10)
    with pytest.raises(ValueError, match="prompt of 11 tokens exceeds max_num_tokens 10"):
        engine.submit("a", 11, 1, 1, now=0.0)
    with pytest.raises(ValueError, match="may need 6 KV blocks, the engine has 5"):
        engine.submit("a", 10, 11, 1, now=0.0)
    with pytest.raises(ValueError, match="at least 1"):
        engine.submit("a", 1, 0, 1, now=0.0)
    assert engine.idle


def test_an_id_is_free_again_only_after_its_final() -> None:
    engine = an_engine()
    engine.submit("a", 1, 1, 1, now=0.0)
    with pytest.raises(ValueError, match="'a' is in use"):
        engine.submit("a", 1, 1, 1, now=0.0)
    engine.step(0.0)
    engine.submit("a", 1, 1, 1, now=1.0)


def test_refuses_a_stream_interval_below_one() -> None:
    with pytest.raises(ValueError, match="stream_interval"):
        an_engine(stream_interval=0)
