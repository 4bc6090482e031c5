"""Gauges beside what we sent ourselves: honest, lying, stale, bypassed."""

from dataclasses import dataclass

import pytest

from sagesched_gateway.dispatch.gauge_sense import AGE_S, BYPASS_S, STALE_S, GaugeSense, Ours
from sagesched_gateway.dispatch.ports import EngineGauges

SLOTS, BLOCKS = 32, 1000


@dataclass
class Watched:
    """An engine that is filled as far as the sense allows, and its gauges."""

    factor: float = 1.0
    strangers: int = 0
    strange_blocks: int = 0
    growth: float = 0.0
    now: float = 0.0
    iteration: int = 0

    def __post_init__(self):
        self.sense = GaugeSense()

    def gauge(self, value):
        return round(value * self.factor)

    def most(self):
        return self.sense.slots(self.gauge(SLOTS)), self.sense.kv_blocks(self.gauge(BLOCKS))

    def look(self, *, moves=True, paused=0, waiting=0, load=1.0, requests=None):
        self.now += 0.2
        self.iteration += 20 * moves
        slots, blocks = self.most()
        ours = Ours(requests or max(int(load * slots), 1), max(int(load * blocks), 1), self.growth)
        gauges = EngineGauges(
            active=self.gauge(ours.requests + self.strangers),
            waiting=waiting,
            paused=paused,
            used_blocks=self.gauge(ours.blocks + self.strange_blocks),
            iteration=self.iteration,
        )
        self.sense.saw(gauges, ours, self.now, busy=True)


def test_honest_gauges_change_nothing():
    watched = Watched()
    for _ in range(100):
        watched.look()
    assert watched.most() == (SLOTS, BLOCKS)
    assert not watched.sense.is_stale
    assert watched.sense.strangers == 0


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_gauges_wrong_by_a_factor_lead_to_the_true_size(factor):
    watched = Watched(factor=factor)
    for _ in range(200):
        watched.look()
    slots, blocks = watched.most()
    assert slots == pytest.approx(SLOTS, abs=1)
    assert blocks == pytest.approx(BLOCKS, rel=0.03)


def test_what_others_have_inside_is_counted_in():
    watched = Watched(strangers=5, strange_blocks=200)
    for _ in range(100):
        watched.look(load=0.7)
    assert watched.most() == (SLOTS - 5, BLOCKS - 200)


def test_prefixes_shared_in_the_engine_make_room():
    watched = Watched(strange_blocks=-200)
    for _ in range(100):
        watched.look(load=0.7)
    assert watched.most() == (SLOTS, BLOCKS + 200)


def test_what_has_grown_since_the_gauges_were_refreshed_makes_none():
    watched = Watched(strange_blocks=-25, growth=25 / AGE_S)
    for _ in range(100):
        watched.look()
    assert watched.most() == (SLOTS, BLOCKS)


def test_what_is_guessed_of_the_paused_makes_no_room():
    watched = Watched(strange_blocks=-100)
    for _ in range(100):
        watched.look(waiting=1)
    assert watched.most() == (SLOTS, BLOCKS)
    watched.strange_blocks = 200
    for _ in range(100):
        watched.look(waiting=1, load=0.7)
    assert watched.most()[1] < BLOCKS - 150


def test_a_bypass_is_told_when_it_lasts_and_no_longer_than_it_lasts():
    watched = Watched(strangers=3)
    watched.look(requests=10)
    watched.look(requests=10)
    assert watched.sense.strangers == 0
    for _ in range(round(BYPASS_S / 0.2) + 3):
        watched.look(requests=10)
    assert watched.sense.strangers == 3
    watched.strangers = 0
    watched.look(requests=10)
    assert watched.sense.strangers == 0


def test_a_counter_that_stands_still_makes_the_gauges_stale():
    watched = Watched(factor=0.8)
    watched.look()
    for _ in range(round(STALE_S / 0.2) + 1):
        watched.look(moves=False)
    assert watched.sense.is_stale
    for _ in range(20):
        watched.look(moves=False)
    assert watched.most() == (round(0.8 * SLOTS), round(0.8 * BLOCKS))
    watched.look()
    assert not watched.sense.is_stale


def test_an_idle_engine_is_not_stale():
    sense = GaugeSense()
    for step in range(30):
        sense.saw(EngineGauges(iteration=7, active=0), Ours(0, 0), 0.2 * step, busy=True)
    assert not sense.is_stale


def test_the_share_of_readings_with_pauses():
    watched = Watched()
    for step in range(60):
        watched.look(paused=step % 2)
    assert watched.sense.pause_share == pytest.approx(0.5, abs=0.05)
    watched.sense.forget_pauses()
    assert watched.sense.pause_share is None


def test_what_an_idle_engine_held_last_is_nobody_elses():
    """Single short requests: each look comes after an answer, and shows that answer's last iteration."""
    sense = GaugeSense()
    for step in range(20):
        sense.saw(EngineGauges(iteration=5 * step, active=1, waiting=0), Ours(0, 0), 0.7 * step, busy=False)
        assert sense.strangers == 0
