"""Room that nobody tells, found from waits: by a model engine that makes wait whatever exceeds it."""

import math

import numpy as np
import pytest

from sagesched_gateway.scheduling.learned_room import DECREASE, INSISTENT, LearnedRoom


def a_room(*, slots=None, first_slots=32.0, blocks=None):
    room = LearnedRoom()
    room.slots.known, room.slots.first = slots, first_slots
    room.blocks.known = blocks
    return room


def serve(room, *, slots, blocks, starts=3000, seed=0):
    """Start requests one at a time into an engine always as full as the room allows; returns who waited.

    Mean sizes wander, so that now slots and now blocks are what is short.
    """
    rng = np.random.default_rng(seed)
    waited = []
    for number in range(starts):
        usual = 10.0 * (1.0 + 0.8 * math.sin(number / 40))
        sizes = rng.exponential(usual, size=400)
        most_slots, most_blocks = int(room.slots.value), room.blocks.value
        held = np.cumsum(sizes)
        taken = max(int(min(np.searchsorted(held, most_blocks), most_slots)), 1)
        full = taken > slots or held[taken - 1] > blocks
        waited.append(full)
        room.measured(full, taken, float(held[taken - 1]))
    return waited


@pytest.mark.parametrize(("slots", "blocks"), [(32, math.inf), (1000, 400.0), (60, 500.0)])
def test_it_finds_what_fits_and_then_hardly_anybody_waits(slots, blocks):
    room = a_room()
    waited = serve(room, slots=slots, blocks=blocks)
    assert np.mean(waited[1500:]) < 0.02
    full = room.slots.value if math.isinf(blocks) else room.blocks.value
    assert full == pytest.approx(slots if math.isinf(blocks) else blocks, rel=0.06)


def test_a_size_that_is_told_too_large_is_corrected():
    room = a_room(slots=1000, blocks=600.0)
    waited = serve(room, slots=1000, blocks=500.0)
    assert np.mean(waited[1500:]) < 0.02
    assert room.blocks.value == pytest.approx(500.0, rel=0.05)


def test_what_is_known_is_never_exceeded():
    room = a_room(slots=40, blocks=300.0)
    serve(room, slots=1000, blocks=1e9)
    assert (room.slots.value, room.blocks.value) == (40, 300.0)


def test_a_slow_start_of_an_empty_engine_teaches_nothing():
    room = a_room(slots=256, blocks=750.0)
    for _ in range(3 * INSISTENT):
        room.measured(True, 1, 20.0)
    assert (room.slots.value, room.blocks.value) == (256, 750.0)
    assert room.num_waits == 3 * INSISTENT


def test_first_tokens_held_up_on_the_way_cost_little_of_a_size_that_metrics_check():
    room, rng = a_room(slots=256, blocks=750.0), np.random.default_rng(0)
    room.blocks.is_metered = True
    for _ in range(3000):
        room.measured(bool(rng.random() < 0.05), 40, float(room.blocks.value))
    assert room.blocks.value >= 0.91 * 750.0


def test_a_wait_where_more_has_fitted_before_is_believed_only_when_it_insists():
    room = a_room(slots=256, blocks=750.0)
    room.measured(False, 40, 700.0)
    for _ in range(INSISTENT - 1):
        room.measured(True, 30, 300.0)
    assert room.blocks.value == 750.0
    room.measured(True, 30, 300.0)
    assert min(room.blocks.value / 750.0, room.slots.value / 256) < 1


def test_where_both_are_about_as_full_kv_gets_the_blame():
    room = a_room(first_slots=64.0)
    room.measured(False, 45, 745.0)
    room.measured(True, 46, 750.0)
    assert (room.slots.value, room.blocks.value) == (64.0, 750.0 * DECREASE)
    room.measured(True, 45, 500.0)  # with KV to spare it cannot be KV
    assert room.slots.value == 45 * DECREASE


def test_slots_blamed_for_want_of_kv_are_doubted_once_much_kv_is_free():
    room = a_room(first_slots=64.0)
    room.measured(False, 45, 745.0)
    room.measured(True, 50, 750.0)  # both full, slots more so: they get the blame
    assert room.slots.value < 50
    for _ in range(400):  # smaller requests: as many as may run leave a third of the pool free
        slots = int(room.slots.value)
        room.measured(False, slots, 10.0 * slots)
    assert room.slots.value > 60


def test_slots_that_fail_with_kv_to_spare_are_doubted_no_more():
    room = a_room(first_slots=64.0)
    room.measured(False, 45, 745.0)
    waited = []
    for _ in range(2000):
        slots = int(room.slots.value)
        waited.append(slots > 45)
        room.measured(waited[-1], slots, 10.0 * slots)
    assert room.slots.value == pytest.approx(45, rel=0.06)
    assert np.mean(waited[500:]) < 0.02


@pytest.mark.parametrize(("slots", "blocks"), [(256, math.inf), (1000, 3000.0)])
def test_what_fails_at_the_same_amount_each_time_is_blamed_though_both_are_about_as_full(slots, blocks):
    room = a_room(first_slots=250.0)
    rng = np.random.default_rng(0)
    for usual in (12.0, 14.0, 16.0, 18.0):  # blocks of a request, on average
        for _ in range(1000):
            size = usual * rng.uniform(0.98, 1.02)
            taken = max(int(min(room.blocks.value / size, room.slots.value)), 1)
            room.measured(taken > slots or taken * size > blocks, taken, taken * size)
    tight, loose = (room.slots, room.blocks) if math.isinf(blocks) else (room.blocks, room.slots)
    assert tight.value == pytest.approx(min(slots if math.isinf(blocks) else blocks, 1e9), rel=0.06)
    assert loose.value > (256 * 18 if math.isinf(blocks) else 3000 / 12)


def test_what_is_far_from_full_is_not_blamed_for_standing_still():
    room = a_room(slots=1000, blocks=500.0)
    for blocks in (480.0, 495.0, 455.0, 440.0):
        room.measured(True, 100, blocks)
    assert room.slots.value == 1000
    assert room.blocks.value == pytest.approx(440.0 * DECREASE)


def test_another_engine_is_learned_anew():
    room = a_room()
    serve(room, slots=1000, blocks=400.0)
    room.forget()
    assert (room.slots.value, room.blocks.value) == (32.0, math.inf)
    assert room.usable_blocks is None
