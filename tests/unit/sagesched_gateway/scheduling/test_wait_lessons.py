"""Lessons about room: a model engine of a few places, first in, first out, seen through its tokens alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_gateway.scheduling.iteration_clock import SETTLED, IterationClock, Ticking
from sagesched_gateway.scheduling.wait_lessons import SURE_ITERATIONS, Taken, WaitLessons

IT = 0.01
ANSWER = 80
BLOCKS = 10


@dataclass
class Job:
    job_id: str
    ticking: Ticking = field(default_factory=Ticking)
    tokens: int = 0
    sent_in: int = 0


class World:
    """An engine with `places`, and whoever sends to it as `WaitLessons` allow; always as much as they do."""

    def __init__(self, places: int, guessed_s: float = IT, first_slots: float = 8.0) -> None:
        self.clock = IterationClock(guessed_s)
        self.lessons = WaitLessons(self.clock, 1e-5)
        self.lessons.room.slots.first = first_slots
        self.places = places
        self.now = 0.0
        self.inside: list[Job] = []
        self.num_sent = 0
        self.iteration = 0
        self.waits: list[int] = []

    @property
    def found(self) -> float:
        """Places, each of `BLOCKS`: which of the two is blamed does not matter here."""
        room = self.lessons.room
        return min(room.slots.value, room.blocks.value / BLOCKS)

    def send_what_may_go(self) -> None:
        room, lessons = self.lessons.room, self.lessons
        while len(self.inside) + 1 <= self.found and not lessons.is_queue_inside(self.now):
            taken = Taken(len(self.inside) + 1, BLOCKS * (len(self.inside) + 1))
            if lessons.has_enough_trials(len(self.inside)) and room.is_new(*taken):
                return
            job = Job(str(self.num_sent), sent_in=self.iteration)
            self.num_sent += 1
            lessons.started(job.job_id, 10, 0, taken, self.now)
            self.inside.append(job)

    def iterate(self, *, takes_s: float = IT, every: int = 16) -> None:
        self.now += takes_s
        self.iteration += 1
        for job in self.inside[: self.places]:
            if not job.tokens:
                self.waits.append(self.iteration - job.sent_in - 1)
            job.tokens += 1
            is_last = job.tokens == ANSWER + 7 * (int(job.job_id) % 11)
            if job.tokens == 1 or job.tokens % every == 0 or is_last:
                self.clock.report(job.ticking, job.tokens, self.now)
                self.lessons.reported(job.job_id, self.now)
            if is_last:
                self.clock.forget(job.ticking)
                self.lessons.forget(job.job_id)
                job.tokens = -1
        self.inside = [job for job in self.inside if job.tokens >= 0]
        self.lessons.check()


def test_places_are_found_and_next_to_nobody_waits_for_it():
    world = World(places=20)
    for _ in range(4000):
        world.send_what_may_go()
        world.iterate()
    assert 18 <= world.found <= 22
    assert np.mean(np.array(world.waits) > SURE_ITERATIONS) < 0.02


def test_a_wait_is_noticed_long_before_its_end():
    world = World(places=8)
    while not world.clock.is_settled:
        world.send_what_may_go()
        world.iterate()
    world.places = 6  # two of those inside stop, as if paused; whoever is sent now waits
    for _ in range(200):
        world.send_what_may_go()
        world.iterate()
        if world.lessons.room.num_waits:
            break
    assert world.inside[-1].tokens == 0
    assert world.lessons.is_queue_inside(world.now)


@pytest.mark.parametrize("places", [6, 20, 40])
@pytest.mark.parametrize(("factor", "every"), [(0.3, 16), (1.0, 16), (4.0, 8)])
def test_whatever_the_engine_its_room_is_found(places, factor, every):
    world = World(places, guessed_s=IT * factor)
    for _ in range(4000):
        world.send_what_may_go()
        world.iterate(every=every)
    assert world.found == pytest.approx(places, rel=0.1, abs=1.5)
    later = np.array(world.waits[len(world.waits) // 2 :])
    assert np.mean(later > SURE_ITERATIONS) < 0.05


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.floats(0.2, 4.0), st.integers(1, 32))
def test_trials_never_keep_everybody_out(places, factor, every):
    world = World(places, guessed_s=IT * factor)
    for _ in range(300):
        world.send_what_may_go()
        assert world.inside
        world.iterate(every=every)


def test_a_large_engine_is_found_fast():
    world = World(places=800, first_slots=32.0)
    iterations = 0
    while len(world.inside) < 0.9 * world.places:
        world.send_what_may_go()
        world.iterate()
        iterations += 1
        assert iterations < 1500


def test_a_first_token_held_up_on_its_way_teaches_nothing():
    world = World(places=100, first_slots=32.0)
    while not world.clock.is_settled:
        world.send_what_may_go()
        world.iterate()
    taught = world.lessons.room.num_waits
    for number in range(50):
        job_id, ticking = f"late{number}", Ticking()
        world.lessons.started(job_id, 10, 0, Taken(32, 320), world.now)
        for _ in range(5):  # its token comes with the second, and is heard of with the fifth
            world.iterate(every=1)
        world.clock.report(ticking, 1, world.now)
        world.lessons.reported(job_id, world.now)
        world.send_what_may_go()
    assert world.lessons.room.num_waits == taught
    assert world.found >= 32.0


def test_a_slow_beginning_teaches_nothing():
    """Prefills make the first iterations five times as long as guessed."""
    world = World(places=100, first_slots=32.0)
    for _ in range(6):
        world.send_what_may_go()
        world.iterate(takes_s=5 * IT)
    assert not world.clock.is_settled
    for _ in range(100):
        world.send_what_may_go()
        world.iterate()
    assert world.clock.is_settled
    assert world.lessons.room.num_waits == 0
    assert world.found >= 32.0


def test_who_waited_when_the_clock_settled_teaches_too():
    world = World(places=4, first_slots=32.0)
    for _ in range(SETTLED // 4 * 16 + 40):
        world.send_what_may_go()
        world.iterate()
    assert world.clock.is_settled
    assert world.lessons.room.num_waits >= 1
    assert world.found < 32.0
