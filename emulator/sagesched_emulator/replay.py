"""Replay: a trace through the product's own scheduler and the emulated engine, in virtual time.

The scheduler gets the very events that a live gateway would send it, at the instants at which a gateway would
have known them: answers reach it one hop after the engine gave them, its starts reach the engine one hop
later, predictions come after `prediction_s`, and it learns the engine's speed from the iterations it sees.
Lengths reach the engine only. `direct` has no scheduler: every request goes straight into the engine's own
queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from sagesched_emulator.engine import Engine
from sagesched_emulator.iteration import Emission, Iteration
from sagesched_emulator.knowledge import Knowledge
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_emulator.virtual_time import LAST, VirtualTime
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Command, Reject, Start, Stop, WakeAt
from sagesched_gateway.scheduling.events import (
    CapacityChanged,
    Event,
    Finished,
    FirstToken,
    PoolDistributionChanged,
    Predicted,
    Progressed,
    Submitted,
    Woken,
)
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor import LengthDistribution

DIRECT = "direct"
"""The pseudo policy without a scheduler."""

MEASURED_EVERY_S = 0.1
"""A gateway reads the engine's gauges this often."""

SMOOTHING = 0.04
"""Weight of the latest reading in the mean that it goes by, about that of a window of five seconds."""

SPEED_TOLERANCE = 0.05
"""It tells the scheduler of a speed that differs by more than this share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """How a replayed gateway behaves.

    Attributes:
        policy: order and knobs; the name `direct` leaves the gateway out.
        hop_s: gateway to engine, one way, seconds.
        prediction_s: arrival to prediction, seconds.
        stream_interval: the engine streams each n-th token; 1 is exact and slower.
        kv_headroom_iterations: as in `EngineCapacity`; None leaves it to the core.
    """

    policy: PolicySettings
    hop_s: float = 0.001
    prediction_s: float = 0.01
    stream_interval: int = 16
    kv_headroom_iterations: float | None = None


@dataclass(slots=True, kw_only=True)
class Served:
    """What happened to one request; instants are seconds after the trace's start, as its client sees them.

    Attributes:
        request: as in the trace.
        started_at: when it was sent to the engine; None if it never was.
        first_at: its first token; None before it came.
        last_at: its last token; None before it came.
        failure: why it has no answer; None where it has one.
    """

    request: TraceRequest
    started_at: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRun:
    """One replayed run.

    Attributes:
        policy: its name.
        served: one per request, in order of arrival.
        evictions: sequences that lost their cache because KV ran out.
        busy_s: seconds that the engine spent in iterations.
        ended_at: instant of the last token.
        engine_waits: per request, time in the engine's own queue: seconds, iterations that ran meanwhile.
        backlog_s: seconds of iterations during which requests waited somewhere.
        backlog_batch: mean number of running sequences in those.
        backlog_kv: mean share of KV blocks in use in those.
    """

    policy: str
    served: tuple[Served, ...]
    evictions: int
    busy_s: float
    ended_at: float
    engine_waits: tuple[tuple[float, int], ...]
    backlog_s: float
    backlog_batch: float
    backlog_kv: float


def replay(
    trace: Trace,
    profile: EngineProfile,
    settings: ReplaySettings,
    knowledge: Knowledge,
    on_served: Callable[[], object] = lambda: None,
) -> ReplayRun:
    """Run a trace through one policy.

    Args:
        trace: what is sent when.
        profile: the engine.
        settings: the gateway.
        knowledge: what it is told of lengths; fresh, since it may learn.
        on_served: called when a request is done, for progress.

    Raises:
        ValueError: unknown policy, or a knob out of its range.
    """
    return _Replay(trace, profile, settings, knowledge, on_served).run()


class _Front(Protocol):
    """What stands between clients and the engine."""

    def arrive(self, request: TraceRequest) -> None: ...

    def tokens(self, emissions: Sequence[Emission]) -> None: ...

    def measured(self, iteration_s: float) -> None: ...

    def num_waiting(self) -> int: ...


class _Replay:
    """Clients and the engine, with a front in between."""

    def __init__(
        self,
        trace: Trace,
        profile: EngineProfile,
        settings: ReplaySettings,
        knowledge: Knowledge,
        on_served: Callable[[], object],
    ) -> None:
        self.time = VirtualTime()
        self.engine = Engine(profile, settings.stream_interval)
        self.served = {request.id: Served(request=request) for request in trace.requests}
        self._policy = settings.policy.name
        self._on_served = on_served
        self._stepping = False
        self._window_s = 0.0
        self._window_iterations = 0
        self._backlog_s = self._backlog_batch = self._backlog_kv = 0.0
        self._front: _Front = (
            _Direct(self)
            if self._policy == DIRECT
            else _Gateway(self, profile.capacity(), settings, knowledge)
        )
        for request in trace.requests:
            self.time.at(request.arrival_s, partial(self._front.arrive, request))

    def run(self) -> ReplayRun:
        self.time.run()
        statistics = self.engine.statistics()
        span_s = self._backlog_s or 1.0
        return ReplayRun(
            policy=self._policy,
            served=tuple(self.served.values()),
            evictions=statistics.evictions,
            busy_s=statistics.busy_s,
            ended_at=self.time.now,
            engine_waits=tuple(self.engine.queue_waits),
            backlog_s=self._backlog_s,
            backlog_batch=self._backlog_batch / span_s,
            backlog_kv=self._backlog_kv / span_s,
        )

    def submit(self, request: TraceRequest) -> None:
        """The engine receives a request; it starts to step if it was idle."""
        try:
            self.engine.submit(
                request.id, request.prompt_tokens, request.max_tokens, request.output_tokens, self.time.now
            )
        except ValueError as error:
            self.fail(request.id, str(error))
            return
        if not self._stepping:
            self._stepping = True
            self.time.at(self.time.now, self._step, LAST)

    def stop(self, request_id: str) -> None:
        self.engine.stop(request_id)

    def note_tokens(self, emission: Emission) -> None:
        """A client receives tokens."""
        served = self.served[emission.request_id]
        if emission.first:
            served.first_at = self.time.now
        if emission.final:
            served.last_at = self.time.now
            self._on_served()

    def fail(self, request_id: str, why: str) -> None:
        """A client is told that there will be no answer."""
        self.served[request_id].failure = why
        self._on_served()

    def _step(self) -> None:
        """One iteration; the next begins when it ends, after everything else due at that instant."""
        if self.engine.idle:
            self._stepping = False
            return
        iteration = self.engine.step(self.time.now)
        self._measure(iteration)
        if iteration.emissions:
            self.time.at(iteration.ended_at, partial(self._front.tokens, iteration.emissions))
        self.time.at(iteration.ended_at, self._step, LAST)

    def _measure(self, iteration: Iteration) -> None:
        duration_s = iteration.ended_at - iteration.started_at
        statistics = iteration.statistics
        if self._front.num_waiting():
            self._backlog_s += duration_s
            self._backlog_batch += duration_s * statistics.num_scheduled
            self._backlog_kv += duration_s * statistics.used_blocks / statistics.max_blocks
        self._window_s += duration_s
        self._window_iterations += 1
        if self._window_s >= MEASURED_EVERY_S:
            self._front.measured(self._window_s / self._window_iterations)
            self._window_s = 0.0
            self._window_iterations = 0


class _Direct:
    """No gateway: the engine's own queue."""

    def __init__(self, world: _Replay) -> None:
        self._world = world

    def arrive(self, request: TraceRequest) -> None:
        self._world.served[request.id].started_at = self._world.time.now
        self._world.submit(request)

    def tokens(self, emissions: Sequence[Emission]) -> None:
        for emission in emissions:
            self._world.note_tokens(emission)

    def measured(self, iteration_s: float) -> None:
        pass

    def num_waiting(self) -> int:
        statistics = self._world.engine.statistics()
        return statistics.num_active + statistics.num_queued - statistics.num_scheduled


class _Gateway:
    """The product's scheduler, one hop from the engine."""

    def __init__(
        self, world: _Replay, capacity: EngineCapacity, settings: ReplaySettings, knowledge: Knowledge
    ) -> None:
        self._world = world
        self._capacity = replace(capacity, kv_headroom_iterations=settings.kv_headroom_iterations)
        self._settings = settings
        self._knowledge = knowledge
        self._iteration_s = capacity.iteration_s
        self._scheduler = Scheduler(settings.policy, self._capacity)
        self._wake_at: float | None = None
        pool = knowledge.pool()
        if pool is not None:
            self._tell(PoolDistributionChanged(distribution=pool))

    def arrive(self, request: TraceRequest) -> None:
        now = self._world.time.now
        self._tell(
            Submitted(
                job_id=request.id,
                arrival_at=now,
                prompt_tokens=request.prompt_tokens,
                max_tokens=request.max_tokens,
            )
        )
        distribution = self._knowledge.predict(request)
        if distribution is not None:
            predicted = partial(self._tell, Predicted(job_id=request.id, distribution=distribution))
            self._world.time.at(now + self._settings.prediction_s, predicted)

    def tokens(self, emissions: Sequence[Emission]) -> None:
        self._world.time.at(self._world.time.now + self._settings.hop_s, partial(self._relay, emissions))

    def measured(self, iteration_s: float) -> None:
        self._iteration_s += SMOOTHING * (iteration_s - self._iteration_s)
        told_s = self._capacity.iteration_s
        if abs(self._iteration_s - told_s) > SPEED_TOLERANCE * told_s:
            self._capacity = replace(self._capacity, iteration_s=self._iteration_s)
            self._tell(CapacityChanged(capacity=self._capacity))

    def num_waiting(self) -> int:
        return len(self._scheduler.queue)

    def _relay(self, emissions: Sequence[Emission]) -> None:
        for emission in emissions:
            self._world.note_tokens(emission)
            if emission.final:
                self._tell(Finished(job_id=emission.request_id))
                self._learn(self._knowledge.observe(self._world.served[emission.request_id].request))
            elif emission.first:
                self._tell(FirstToken(job_id=emission.request_id))
            else:
                self._tell(Progressed(job_id=emission.request_id, output_tokens=emission.total_tokens))

    def _learn(self, pool: LengthDistribution | None) -> None:
        if pool is not None:
            self._tell(PoolDistributionChanged(distribution=pool))

    def _tell(self, event: Event) -> None:
        for command in self._scheduler.handle(event, self._world.time.now):
            self._perform(command)

    def _perform(self, command: Command) -> None:
        time = self._world.time
        if isinstance(command, Start):
            served = self._world.served[command.job_id]
            served.started_at = time.now
            time.at(time.now + self._settings.hop_s, partial(self._world.submit, served.request))
        elif isinstance(command, Stop):
            time.at(time.now + self._settings.hop_s, partial(self._world.stop, command.job_id))
        elif isinstance(command, Reject):
            self._world.fail(command.job_id, f"{command.reason}: {command.detail}")
        elif isinstance(command, WakeAt):
            self._wake_at = command.at
            time.at(command.at, partial(self._wake, command.at))

    def _wake(self, planned_at: float) -> None:
        if planned_at == self._wake_at:  # a later WakeAt replaces an earlier one
            self._wake_at = None
            self._tell(Woken())
