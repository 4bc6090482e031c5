"""Random histories of one core: whatever happens in whatever order, the invariants hold after every event.

At the end of each history the engine ends all it was given: every request then was started, stopped, evicted
or refused exactly as often as it should be, nothing is left reserved, and the same events told to a fresh
core give the same commands.
"""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from sagesched_gateway.scheduling import events, invariants
from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy
from sagesched_gateway.scheduling.commands import Command, Evict, Reject, Start, Stop, WakeAt
from sagesched_gateway.scheduling.job import IN_FLIGHT, JobState, TakeBack
from sagesched_gateway.scheduling.outlook import drain_s
from sagesched_gateway.scheduling.policies.registry import POLICIES
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_gateway.scheduling.settings import (
    DeadlineSettings,
    EvictFirst,
    OverloadSettings,
    PolicySettings,
    PressureSettings,
    TenantSettings,
)
from sagesched_predictor.distribution import LengthDistribution

predictions = st.lists(st.integers(1, 500), min_size=1, max_size=6).map(LengthDistribution.from_samples)
policies = st.builds(
    PolicySettings,
    name=st.sampled_from(list(POLICIES)),
    tail_weight=st.sampled_from([0.25, 1.0, 4.0]),
    age_guard=st.booleans(),
    evict_first=st.sampled_from(list(EvictFirst)),
    max_evictions=st.sampled_from([0, 1, 3]),
)
pressures = st.builds(
    PressureSettings,
    deadlines=st.builds(
        DeadlineSettings,
        refuse_below=st.sampled_from([0.0, 0.5, 0.9]),
        drop_below=st.sampled_from([0.0, 0.05, 0.5]),
    ),
    overload=st.builds(OverloadSettings, max_backlog_s=st.sampled_from([None, 0.05, 1.0])),
    tenants=st.sampled_from([None, TenantSettings(), TenantSettings(weights={"a": 3.0})]),
)
engines = st.builds(
    EngineCapacity,
    slots=st.integers(1, 6),
    knows_slots=st.booleans(),
    kv_blocks=st.one_of(st.none(), st.integers(8, 60)),
    block_tokens=st.sampled_from([8, 16]),
    max_num_tokens=st.sampled_from([64, 256]),
    kv_policy=st.sampled_from(list(KvPolicy)),
    iteration_s=st.sampled_from([0.005, 0.01, 0.02]),
    lookahead=st.sampled_from([None, 0, 1]),
    kv_headroom_iterations=st.sampled_from([None, 0.0, 4.0]),
    kv_caution_iterations=st.sampled_from([0.0, 8.0]),
    generation=st.integers(0, 1),
)


class Histories(RuleBasedStateMachine):
    """A shell and an engine that do anything that is legal."""

    jobs = Bundle("jobs")

    @initialize(policy=policies, engine=engines, pressure=pressures)
    def begin(self, policy: PolicySettings, engine: EngineCapacity, pressure: PressureSettings) -> None:
        self.first = (policy, engine, pressure)
        self.policy = policy
        self.scheduler = Scheduler(policy, engine, pressure=pressure)
        self.engine = engine
        self.now = 0.0
        self.num_submitted = 0
        self.told: list[tuple[events.Event, float]] = []
        self.answers: list[list[Command]] = []
        self.open: set[str] = set()  # submitted and neither finished, refused nor cancelled while waiting
        self.in_engine: set[str] = set()
        self.stopped: set[str] = set()
        self.evicting: set[str] = set()
        self.evictions: dict[str, int] = {}
        self.begun: set[str] = set()  # those whose caller has seen a token
        self.wake_at: float | None = None

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.01, 0.1, 1.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        target=jobs,
        prompt_tokens=st.integers(1, 120),
        max_tokens=st.integers(1, 400),
        prediction=st.one_of(st.none(), predictions),
        age=st.sampled_from([0.0, 0.0, 0.5]),
        awaits=st.booleans(),
        streams=st.booleans(),
        tenant=st.sampled_from(["", "a", "b"]),
        priority=st.sampled_from([-1, 0, 0, 1]),
        deadline=st.sampled_from([None, None, 0.2, 5.0]),
        take_back=st.sampled_from(list(TakeBack)),
    )
    def submit(
        self,
        prompt_tokens: int,
        max_tokens: int,
        prediction: LengthDistribution | None,
        age: float,
        awaits: bool,
        streams: bool,
        tenant: str,
        priority: int,
        deadline: float | None,
        take_back: TakeBack,
    ):
        self.num_submitted += 1
        job_id = f"job-{self.num_submitted}"
        self.open.add(job_id)
        self.tell(
            events.Submitted(
                job_id=job_id,
                arrival_at=self.now - age,
                prompt_tokens=prompt_tokens,
                max_tokens=max_tokens,
                distribution=prediction,
                awaits_prediction=awaits,
                streams=streams,
                tenant=tenant,
                priority=priority,
                deadline_at=None if deadline is None else self.now + deadline,
                take_back=take_back,
            )
        )
        return job_id if job_id in self.open else multiple()

    @rule(job_id=jobs, prediction=st.one_of(st.none(), predictions))
    def predict(self, job_id: str, prediction: LengthDistribution | None) -> None:
        self.tell(events.Predicted(job_id=job_id, distribution=prediction))

    @rule(job_id=jobs, tokens=st.integers(0, 400))
    def tokens_come(self, job_id: str, tokens: int) -> None:
        """Possibly late, for a job that has ended or waits again."""
        event = events.Progressed(job_id=job_id, output_tokens=tokens)
        if job_id in self.in_engine - self.evicting:
            self.begun.add(job_id)
        self.tell(event if tokens else events.FirstToken(job_id=job_id))

    @rule(job_id=consumes(jobs))
    def finish(self, job_id: str) -> None:
        if job_id in self.in_engine:
            self.engine_ends(job_id)

    @rule(job_id=jobs)
    def engine_refuses(self, job_id: str) -> None:
        if self.scheduler.job_state(job_id) is JobState.STARTED or job_id in self.stopped & self.in_engine:
            self.in_engine.discard(job_id)
            if job_id in self.stopped:
                self.open.discard(job_id)
            self.tell(events.Requeued(job_id=job_id))

    @rule(tokens=st.one_of(st.none(), st.integers(0, 300)))
    def evicted_one_comes_back(self, tokens: int | None) -> None:
        for job_id in sorted(self.evicting & self.in_engine)[:1]:
            self.in_engine.discard(job_id)
            self.evicting.discard(job_id)
            if job_id in self.stopped:
                self.open.discard(job_id)
            self.tell(events.Requeued(job_id=job_id, output_tokens=tokens))

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        running, stopped_before = job_id in self.in_engine, job_id in self.stopped
        if running:
            self.stopped.add(job_id)
        else:
            self.open.discard(job_id)
        commands = self.tell(events.Cancelled(job_id=job_id))
        assert (Stop(job_id) in commands) == (running and not stopped_before)
        assert running or self.scheduler.job_state(job_id) is JobState.FORGOTTEN

    @rule(engine=engines)
    def engine_changes(self, engine: EngineCapacity) -> None:
        self.engine = engine
        self.tell(events.CapacityChanged(capacity=engine))

    @rule(iteration_s=st.sampled_from([0.005, 0.01, 0.02]))
    def engine_changes_speed(self, iteration_s: float) -> None:
        self.engine = replace(self.engine, iteration_s=iteration_s)
        self.tell(events.CapacityChanged(capacity=self.engine))

    @rule(pressure=pressures)
    def pressure_changes(self, pressure: PressureSettings) -> None:
        self.tell(events.PressureChanged(settings=pressure))

    @rule(prompt_tokens=st.integers(1, 120), prediction=predictions)
    def somebody_asks_for_an_eta(self, prompt_tokens: int, prediction: LengthDistribution) -> None:
        eta = self.scheduler.eta(
            self.now, prompt_tokens=prompt_tokens, max_tokens=400, distribution=prediction
        )
        quantiles = [eta.quantile(q) for q in (0.1, 0.5, 0.9)]
        assert 0.0 <= quantiles[0] <= quantiles[1] <= quantiles[2] < float("inf")
        outlook = self.scheduler.outlook(self.now, prompt_tokens=prompt_tokens, max_tokens=400)
        assert all(0.0 <= seconds < float("inf") for seconds in outlook)
        assert outlook.backlog_p50_s <= outlook.backlog_p90_s
        assert outlook.drain_in_flight_s <= outlook.drain_all_s
        assert drain_s(self.scheduler.books, self.now, 0.5) <= drain_s(self.scheduler.books, self.now, 0.9)

    @rule(policy=policies)
    def policy_changes(self, policy: PolicySettings) -> None:
        self.policy = policy
        self.tell(events.PolicyChanged(settings=policy))

    @rule(seconds=st.sampled_from([0.0, 0.5, 30.0]))
    def drain_begins(self, seconds: float) -> None:
        """Whoever is left may stay or go; newcomers are the shell's business."""
        self.tell(events.Draining(until=self.now + seconds))

    @rule(pool=predictions)
    def pool_changes(self, pool: LengthDistribution) -> None:
        self.tell(events.PoolDistributionChanged(distribution=pool))

    @rule()
    def wake(self) -> None:
        if self.wake_at is not None:
            self.now = max(self.now, self.wake_at)
            self.tell(events.Woken())

    def engine_ends(self, job_id: str) -> None:
        self.in_engine.discard(job_id)
        self.evicting.discard(job_id)
        self.open.discard(job_id)
        self.tell(events.Finished(job_id=job_id, output_tokens=7))

    def tell(self, event: events.Event) -> list[Command]:
        commands = self.scheduler.handle(event, self.now)
        self.told.append((event, self.now))
        self.answers.append(commands)
        for command in commands:
            self.perform(command)
        invariants.check(self.scheduler)
        self.compare()
        return commands

    def perform(self, command: Command) -> None:
        if isinstance(command, Start):
            assert command.job_id in self.open - self.in_engine
            self.in_engine.add(command.job_id)
        elif isinstance(command, Evict):
            assert command.job_id in self.in_engine - self.evicting - self.stopped
            self.evicting.add(command.job_id)
            self.evictions[command.job_id] = self.evictions.get(command.job_id, 0) + 1
            assert (self.policy.name, self.engine.kv_policy) == ("amin", KvPolicy.MAX_UTILIZATION)
            job = self.scheduler.books.jobs[command.job_id]
            assert job.evictions <= self.policy.max_evictions
            assert job.take_back is not TakeBack.NEVER
            assert job.take_back is TakeBack.ALWAYS or command.job_id not in self.begun
            assert len(self.in_engine - self.stopped - self.evicting) >= 1
        elif isinstance(command, Reject):
            assert command.job_id in self.open - self.in_engine
            assert command.detail
            self.open.discard(command.job_id)
        elif isinstance(command, WakeAt):
            assert command.at > self.now
            self.wake_at = command.at

    def compare(self) -> None:
        """The shell's own books and the core's agree."""
        snapshot = self.scheduler.snapshot()
        assert self.scheduler.books.jobs.keys() == self.open
        assert {
            job_id for job_id, job in self.scheduler.books.jobs.items() if job.state in IN_FLIGHT
        } == self.in_engine
        assert snapshot.num_running == snapshot.reserved_slots == len(self.in_engine)
        assert snapshot.num_queued == len(self.open) - len(self.in_engine)
        assert min(snapshot.reserved_blocks, snapshot.unprefilled_tokens, snapshot.backlog_s) >= 0

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        while self.in_engine:
            self.now += 1.0
            self.engine_ends(min(self.in_engine))
        # Work conservation: with nothing in flight, whatever could run is running, so nothing can be left.
        assert not self.open
        snapshot = self.scheduler.snapshot()
        assert (snapshot.reserved_blocks, snapshot.unprefilled_tokens, snapshot.backlog_s) == (0, 0, 0.0)
        self.tell_again()

    def tell_again(self) -> None:
        policy, engine, pressure = self.first
        fresh = Scheduler(policy, engine, pressure=pressure)
        assert [fresh.handle(event, now) for event, now in self.told] == self.answers


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
