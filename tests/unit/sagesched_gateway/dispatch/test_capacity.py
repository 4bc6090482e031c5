"""Settings, configuration and metrics put together; the speed of the engine measured."""

from __future__ import annotations

import pytest

from sagesched_gateway.dispatch.capacity import (
    CAUTION_STEP,
    FIRST_GUESS_SLOTS,
    CapacityModel,
    EngineSettings,
    IterationSpeed,
)
from sagesched_gateway.dispatch.gauge_sense import PAUSE_WINDOW, Ours
from sagesched_gateway.dispatch.ports import EngineGauges, EngineLimits
from sagesched_gateway.scheduling.capacity import KvPolicy


def a_model(**settings):
    return CapacityModel(EngineSettings(**settings))


def feed(model, *, iteration_s, seconds, start=0.0, first=0, busy=True):
    """Gauges each 200 ms of an engine that iterates steadily."""
    changes = 0
    steps = round(seconds / 0.2)
    for step in range(steps + 1):
        now = start + 0.2 * step
        gauges = EngineGauges(iteration=first + int((now - start) / iteration_s))
        changes += model.saw_gauges(gauges, now, busy=busy)
    return changes


def test_before_anything_is_known_a_guess_is_safe():
    assert a_model().current.slots == FIRST_GUESS_SLOTS
    assert a_model().current.kv_blocks is None


def test_settings_win_over_metrics_and_metrics_over_configuration():
    model = a_model(kv_blocks=5)
    model.told_limits(EngineLimits(slots=64, kv_policy=KvPolicy.MAX_UTILIZATION, max_num_tokens=4096))
    assert model.current.slots == 64
    model.saw_gauges(EngineGauges(max_requests=48, kv_blocks=700, block_tokens=32), 0.0, busy=True)
    capacity = model.current
    assert (capacity.slots, capacity.kv_blocks, capacity.block_tokens) == (48, 5, 32)
    assert capacity.kv_policy is KvPolicy.MAX_UTILIZATION
    assert capacity.max_num_tokens == 4096


def test_the_configured_pool_counts_until_the_metrics_tell_its_size():
    model = a_model()
    model.told_limits(EngineLimits(kv_tokens=6400))
    assert model.current.kv_blocks == 6400 // model.current.block_tokens
    model.saw_gauges(EngineGauges(kv_blocks=150, block_tokens=32), 0.0, busy=True)
    assert model.current.kv_blocks == 150


def test_nothing_new_is_no_change():
    model = a_model()
    gauges = EngineGauges(max_requests=48)
    assert model.saw_gauges(gauges, 0.0, busy=True)
    assert not model.saw_gauges(gauges, 0.2, busy=True)


def test_sizes_stay_known_while_gauges_read_zero_or_nothing():
    model = a_model()
    model.saw_gauges(EngineGauges(max_requests=48, kv_blocks=700), 0.0, busy=True)
    assert not model.saw_gauges(EngineGauges(max_requests=0), 0.2, busy=False)
    assert model.current.slots == 48
    assert model.current.kv_blocks == 700


@pytest.mark.parametrize("iteration_s", [0.004, 0.025])
def test_an_iteration_is_measured_within_hysteresis(iteration_s):
    model = a_model()
    feed(model, iteration_s=iteration_s, seconds=6.0)
    assert model.current.iteration_s == pytest.approx(iteration_s, rel=0.1)


def test_a_steady_engine_changes_the_core_rarely():
    model = a_model()
    feed(model, iteration_s=0.02, seconds=5.0)
    assert feed(model, iteration_s=0.02, seconds=20.0, start=5.2, first=260) <= 1


def test_idle_time_is_not_iteration_time():
    speed = IterationSpeed()
    for step in range(11):
        speed.saw(step * 20, 0.2 * step, busy=True)
    assert speed.seconds == pytest.approx(0.01)
    speed.saw(201, 60.0, busy=False)
    for step in range(11):
        speed.saw(201 + step * 20, 60.2 + 0.2 * step, busy=True)
    assert speed.seconds == pytest.approx(0.01, rel=0.1)


def test_an_engine_that_counts_from_zero_again_is_measured_anew():
    speed = IterationSpeed()
    speed.saw(1000, 0.0, busy=True)
    speed.saw(1100, 1.0, busy=True)
    speed.saw(5, 1.2, busy=True)
    speed.saw(55, 2.2, busy=True)
    assert speed.seconds == pytest.approx(0.02)


def test_a_gauge_that_stands_still_says_nothing():
    speed = IterationSpeed()
    speed.saw(10, 0.0, busy=True)
    for step in range(20):
        speed.saw(10, 0.2 * step, busy=True)
    assert speed.seconds is None


def test_without_a_counter_the_time_between_tokens_is_taken():
    model = a_model()
    for _ in range(50):
        model.saw_gaps(0.3, 10)
    model.saw_gauges(EngineGauges(), 0.0, busy=True)
    assert model.current.iteration_s == pytest.approx(0.03, rel=0.05)


def test_only_facts_can_make_a_prompt_too_long():
    model = a_model()
    assert model.admissible(10**6, 10, is_exact=True) == model.current.max_num_tokens
    model.told_limits(EngineLimits(max_num_tokens=4096))
    assert model.admissible(5000, 10, is_exact=True) == 5000
    assert model.admissible(5000, 10, is_exact=False) == 4096
    model.told_limits(EngineLimits(max_num_tokens=4096, splits_prompts=True))
    assert model.admissible(5000, 10, is_exact=True) == 4096


def test_an_estimate_never_exceeds_the_kv_pool():
    model = a_model(kv_blocks=10, block_tokens=32)
    assert model.admissible(5000, 100, is_exact=False) == 220
    assert model.admissible(5000, 10_000, is_exact=False) == 1


def test_of_two_sizes_told_the_smaller_one_holds():
    model = a_model()
    model.told_limits(EngineLimits(slots=32, kv_tokens=24_000))
    model.saw_gauges(EngineGauges(max_requests=38, kv_blocks=900, block_tokens=32), 0.0, busy=True)
    assert (model.current.slots, model.current.kv_blocks) == (32, 750)


def test_what_nobody_tells_is_left_to_the_core():
    model = a_model()
    model.told_limits(EngineLimits())
    assert not model.current.knows_slots
    assert model.current.kv_blocks is None
    model.told_limits(EngineLimits(slots=8))
    assert model.current.knows_slots


def test_another_engine_begins_with_nothing_measured():
    model = a_model()
    feed(model, iteration_s=0.02, seconds=6.0)
    model.saw_gauges(EngineGauges(kv_blocks=700), 7.0, busy=True)
    generation = model.current.generation
    assert model.restarted()
    assert model.current.generation == generation + 1
    assert model.current.kv_blocks is None


def test_more_growth_is_kept_free_while_the_engine_pauses_often():
    model = a_model()
    for step in range(3 * PAUSE_WINDOW):
        gauges = EngineGauges(iteration=step, active=5, paused=step % 2)
        model.saw_gauges(gauges, 0.2 * step, busy=True, ours=Ours(5, 50))
    assert model.current.kv_caution_iterations >= 2 * CAUTION_STEP
    for step in range(3 * PAUSE_WINDOW, 40 * PAUSE_WINDOW):
        gauges = EngineGauges(iteration=step, active=5, paused=0)
        model.saw_gauges(gauges, 0.2 * step, busy=True, ours=Ours(5, 50))
    assert model.current.kv_caution_iterations == 0.0


def test_stale_metrics_do_not_tell_the_speed():
    model = a_model()
    feed(model, iteration_s=0.02, seconds=6.0)
    for _ in range(50):
        model.saw_gaps(0.1, 10)
    for step in range(10):
        model.saw_gauges(EngineGauges(iteration=300), 6.2 + 0.2 * step, busy=True, ours=Ours(3, 30))
    assert model.sense.is_stale
    assert model.current.iteration_s == pytest.approx(0.01, rel=0.05)


def test_what_others_hold_for_now_is_still_the_engines():
    model = a_model()
    model.told_limits(EngineLimits(slots=64, max_num_tokens=8192))
    for step in range(20):
        gauges = EngineGauges(
            max_requests=64,
            active=50,
            waiting=0,
            kv_blocks=1000,
            used_blocks=950,
            block_tokens=32,
            iteration=20 * step,
        )
        model.saw_gauges(gauges, 0.2 * step, busy=True, ours=Ours(2, 40))
    assert (model.current.kv_blocks, model.current.most_kv_blocks) == (90, 1000)
    assert model.admissible(500, 4096, is_exact=False) == 500
