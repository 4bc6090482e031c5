"""Who may overtake whom, over random arrivals on one slot."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_gateway.scheduling import invariants
from sagesched_gateway.scheduling.boost import gittins_boost, known_size_boost
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Start
from sagesched_gateway.scheduling.events import Event, Finished, Submitted
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_gateway.scheduling.tail_rate import GAMMA_GRID, GAMMA_MIN
from sagesched_predictor.distribution import LengthDistribution

# One token is one step of one second, and prefill is free: service in steps is output in tokens.
ENGINE = EngineCapacity(slots=1, max_num_tokens=10**6, iteration_s=1.0, prefill_s_per_token=0.0)
CAP = 100_000

quick = settings(max_examples=40, deadline=None)
lengths = st.integers(1, 2000).map(lambda tokens: LengthDistribution.point(tokens))
guesses = st.lists(st.integers(1, 2000), min_size=1, max_size=5).map(LengthDistribution.from_samples)
policies = st.sampled_from(["fcfs", "ssjf", "sagesched", "gittins-boost"])


@st.composite
def arrivals(draw: st.DrawFn, distributions: st.SearchStrategy[LengthDistribution]):
    """Pairs of a gap before (seconds) and a prediction; gaps of all sizes."""
    gaps = st.one_of(st.just(0.0), st.floats(0.0, 10.0), st.floats(0.0, 5000.0))
    return draw(st.lists(st.tuples(gaps, distributions), min_size=2, max_size=25))


class OneSlot:
    """Arrivals first, or one finish after each few of them; every start is noted with who else waited."""

    def __init__(self, policy: PolicySettings) -> None:
        self.scheduler = Scheduler(policy, ENGINE)
        self.now = 0.0
        self.known: dict[str, tuple[float, LengthDistribution]] = {}
        self.running: str | None = None
        self.overtakings: list[tuple[str, str]] = []

    def run(self, trace, finish_every: int) -> None:
        for number, (gap, distribution) in enumerate(trace):
            self.now += gap
            job_id = str(number)
            self.known[job_id] = (self.now, distribution)
            self._handle(
                Submitted(
                    job_id=job_id,
                    arrival_at=self.now,
                    prompt_tokens=1,
                    max_tokens=CAP,
                    distribution=distribution,
                )
            )
            if number % finish_every == finish_every - 1:
                self._finish()
        while self.running is not None:
            self._finish()

    def _finish(self) -> None:
        if self.running is not None:
            job_id, self.running = self.running, None
            self._handle(Finished(job_id=job_id))

    def _handle(self, event: Event) -> None:
        for command in self.scheduler.handle(event, self.now):
            assert isinstance(command, Start)
            self.running = command.job_id
            self._note_overtakings(command.job_id)
        invariants.check(self.scheduler)

    def _note_overtakings(self, started: str) -> None:
        arrival_at = self.known[started][0]
        for waiting in self.scheduler.books.queue:
            if self.known[waiting][0] < arrival_at:
                self.overtakings.append((waiting, started))


@quick
@given(arrivals(lengths), st.integers(1, 5), st.floats(1e-3, 10.0))
def test_overtaking_of_known_sizes_is_bounded_by_their_boosts_at_gamma_min(trace, finish_every, weight):
    world = OneSlot(PolicySettings(name="gittins-boost", tail_weight=weight))
    world.run(trace, finish_every)
    for waiting, started in world.overtakings:
        (came, its), (later, other) = world.known[waiting], world.known[started]
        bound = known_size_boost(other.mean, GAMMA_MIN) - known_size_boost(its.mean, GAMMA_MIN)
        assert later - came <= bound + 1e-6


@quick
@given(arrivals(guesses), st.integers(1, 5), st.floats(1e-3, 10.0))
def test_overtaking_is_bounded_by_the_boost_at_gamma_min(trace, finish_every, weight):
    world = OneSlot(PolicySettings(name="gittins-boost", tail_weight=weight))
    world.run(trace, finish_every)
    for waiting, started in world.overtakings:
        (came, its), (later, other) = world.known[waiting], world.known[started]
        boosts = [gittins_boost(known.tokens, known.weights, GAMMA_GRID) for known in (other, its)]
        assert later - came <= boosts[0][0] + 1e-6
        assert later - came <= np.max(boosts[0] - boosts[1]) + 1e-6


@quick
@given(arrivals(guesses), st.integers(1, 5))
def test_nobody_overtakes_under_fcfs(trace, finish_every):
    world = OneSlot(PolicySettings(name="fcfs"))
    world.run(trace, finish_every)
    assert world.overtakings == []


@quick
@given(arrivals(guesses), st.integers(1, 5))
def test_nobody_overtakes_far_under_a_heavy_tail_weight(trace, finish_every):
    world = OneSlot(PolicySettings(name="gittins-boost", tail_weight=1e9))
    world.run(trace, finish_every)
    for waiting, started in world.overtakings:
        # γ = 1 per step: the largest head start is that of one step, 0.46 s.
        assert world.known[started][0] - world.known[waiting][0] <= 0.46


@quick
@given(arrivals(guesses), st.integers(1, 5), policies)
def test_who_starts_has_the_smallest_key(trace, finish_every, policy):
    class Watched(OneSlot):
        def _note_overtakings(self, started: str) -> None:
            queue, costing = self.scheduler.books.queue, self.scheduler.books.costing
            if not len(queue):
                return
            arrival_at, distribution = self.known[started]
            lengths = distribution.clipped(CAP)
            steps = costing.shape.service_steps(1, CAP, lengths.tokens)
            facts = type(costing.facts(self.scheduler.books.jobs[queue.head()]))(
                arrival_at, 1, CAP, lengths.tokens, lengths.weights, steps
            )
            view = queue.view
            key = view.arrival_weight * arrival_at + view.scale * float(
                costing.policy.row(facts)[view.column]
            )
            assert all(key <= queue.key(job_id) + 1e-9 for job_id in queue)

    Watched(PolicySettings(name=policy)).run(trace, finish_every)
