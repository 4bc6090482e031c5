"""What stands between clients and the engine in a replay: the gateway's scheduler, or nothing.

The scheduler gets the very events that a live gateway would send it, at the instants at which a gateway would
have known them: answers reach it one hop after the engine gave them, its starts reach the engine one hop
later, predictions come after `prediction_s`, and it learns the engine's speed from the iterations it sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from sagesched_emulator.iteration import Emission
from sagesched_emulator.trace import TraceRequest
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Command, Evict, Reject, Start, Stop, WakeAt
from sagesched_gateway.scheduling.events import (
    CapacityChanged,
    Event,
    Finished,
    FirstToken,
    PoolDistributionChanged,
    Predicted,
    Progressed,
    Requeued,
    Submitted,
    Woken,
)
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_predictor import LengthDistribution
from sagesched_replay.comparison import REPLAYED
from sagesched_replay.knowledge import Knowledge
from sagesched_replay.run import ReplaySettings, Served
from sagesched_replay.virtual_time import VirtualTime

SMOOTHING = 0.04
"""Weight of the latest reading in the mean that the gateway goes by: about a window of five seconds."""

SPEED_TOLERANCE = 0.05
"""It tells the scheduler of a speed that differs by more than this share."""


class World(Protocol):
    """Clients and engine, as a front sees them."""

    @property
    def time(self) -> VirtualTime:
        """The clock."""

    @property
    def served(self) -> Mapping[str, Served]:
        """What happened to each request so far."""

    def submit(self, request: TraceRequest) -> None:
        """The engine receives a request."""

    def stop(self, request_id: str) -> None:
        """The engine is asked to end a request."""

    def note_tokens(self, emission: Emission) -> None:
        """A client receives tokens."""

    def fail(self, request_id: str, why: str) -> None:
        """A client is told that there will be no answer."""

    def num_in_engine(self) -> int:
        """Requests in the engine."""

    def num_waiting_in_engine(self) -> int:
        """Requests in the engine that do not run."""


class Front(Protocol):
    """What stands between clients and the engine."""

    def arrive(self, request: TraceRequest) -> None:
        """A client sends a request."""

    def tokens(self, emissions: Sequence[Emission]) -> None:
        """The engine has ended an iteration."""

    def measured(self, iteration_s: float) -> None:
        """The engine's iterations took so long lately, seconds."""

    def num_waiting(self) -> int:
        """Requests that do not run yet."""

    def num_present(self) -> int:
        """Requests that are not done yet."""

    def backlog_s(self) -> float:
        """Predicted service seconds of what waits; 0 where nobody predicts."""


class Direct:
    """No gateway: the engine's own queue."""

    def __init__(self, world: World) -> None:
        self._world = world

    def arrive(self, request: TraceRequest) -> None:
        """Straight into the engine."""
        self._world.served[request.id].started_at = self._world.time.now
        self._world.submit(request)

    def tokens(self, emissions: Sequence[Emission]) -> None:
        """Straight to the clients."""
        for emission in emissions:
            self._world.note_tokens(emission)

    def measured(self, iteration_s: float) -> None:
        """Of no interest."""

    def num_waiting(self) -> int:
        """Those in the engine's own queue."""
        return self._world.num_waiting_in_engine()

    def num_present(self) -> int:
        """Those in the engine."""
        return self._world.num_in_engine()

    def backlog_s(self) -> float:
        """Nobody predicts."""
        return 0.0


class Gateway:
    """The product's scheduler, one hop from the engine."""

    def __init__(
        self, world: World, capacity: EngineCapacity, settings: ReplaySettings, knowledge: Knowledge
    ) -> None:
        self._world = world
        self._capacity = replace(capacity, kv_headroom_iterations=settings.kv_headroom_iterations)
        self._settings = settings
        self._knowledge = knowledge
        self._iteration_s = capacity.iteration_s
        self._scheduler = Scheduler(
            settings.policy, self._capacity, policies=REPLAYED, pressure=settings.pressure
        )
        self._wake_at: float | None = None
        self._evicting: set[str] = set()
        pool = knowledge.pool()
        if pool is not None:
            self._tell(PoolDistributionChanged(distribution=pool))

    def arrive(self, request: TraceRequest) -> None:
        """Tell the scheduler at once, and of the prediction later."""
        now = self._world.time.now
        distribution = self._knowledge.predict(request)
        self._tell(
            Submitted(
                job_id=request.id,
                arrival_at=now,
                prompt_tokens=request.prompt_tokens,
                max_tokens=request.max_tokens,
                streams=True,
                awaits_prediction=distribution is not None,
                tenant=request.tenant,
                priority=request.priority,
                deadline_at=None if request.deadline_s is None else request.arrival_s + request.deadline_s,
            )
        )
        if distribution is None:
            self._note_eta(request.id)
        else:
            known = partial(self._predicted, Predicted(job_id=request.id, distribution=distribution))
            self._world.time.at(now + self._settings.prediction_s, known)

    def tokens(self, emissions: Sequence[Emission]) -> None:
        """They arrive one hop later."""
        self._world.time.at(self._world.time.now + self._settings.hop_s, partial(self._relay, emissions))

    def measured(self, iteration_s: float) -> None:
        """Tell the scheduler when the smoothed speed has moved."""
        self._iteration_s += SMOOTHING * (iteration_s - self._iteration_s)
        told_s = self._capacity.iteration_s
        if abs(self._iteration_s - told_s) > SPEED_TOLERANCE * told_s:
            self._capacity = replace(self._capacity, iteration_s=self._iteration_s)
            self._tell(CapacityChanged(capacity=self._capacity))

    def num_waiting(self) -> int:
        """Those in the gateway's queue."""
        return len(self._scheduler.books.queue)

    def num_present(self) -> int:
        """Those that the scheduler knows."""
        return len(self._scheduler.books.jobs)

    def backlog_s(self) -> float:
        """As the gateway's status tells it."""
        books = self._scheduler.books
        return books.backlog.steps * books.ledger.capacity.iteration_s

    def _relay(self, emissions: Sequence[Emission]) -> None:
        for emission in emissions:
            if emission.stopped and emission.request_id in self._evicting:
                self._come_back(emission)
                continue
            self._world.note_tokens(emission)
            if emission.final:
                self._evicting.discard(emission.request_id)
                tokens = None if emission.stopped else emission.total_tokens
                self._tell(Finished(job_id=emission.request_id, output_tokens=tokens))
                self._learn(self._knowledge.observe(self._world.served[emission.request_id].request))
            elif emission.first:
                self._tell(FirstToken(job_id=emission.request_id))
            else:
                self._tell(Progressed(job_id=emission.request_id, output_tokens=emission.total_tokens))

    def _predicted(self, event: Predicted) -> None:
        self._tell(event)
        self._note_eta(event.job_id)

    def _note_eta(self, job_id: str) -> None:
        if self._settings.eta_quantile is None or job_id not in self._scheduler.books.queue:
            return
        now, served = self._world.time.now, self._world.served[job_id]
        eta = self._scheduler.books.pressure.eta(self._scheduler.books.jobs[job_id], now)
        served.known_at, served.eta_s = now, eta.quantile(self._settings.eta_quantile)

    def _refused(self, refusal: Reject) -> None:
        """A client hears no; one that was told when to come again may do so."""
        time, served = self._world.time, self._world.served[refusal.job_id]
        served.refusal = refusal
        served.num_refusals += 1
        if refusal.retry_after_s is not None and served.num_refusals <= self._settings.retries:
            time.at(time.now + refusal.retry_after_s, partial(self.arrive, served.request))
        else:
            self._world.fail(refusal.job_id, f"{refusal.reason}: {refusal.detail}")

    def _come_back(self, emission: Emission) -> None:
        """The engine has let go of a request that will be started again."""
        self._evicting.remove(emission.request_id)
        served = self._world.served[emission.request_id]
        served.evictions += 1
        served.discarded_tokens += emission.total_tokens
        self._tell(Requeued(job_id=emission.request_id, output_tokens=emission.total_tokens))

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
        elif isinstance(command, Evict):
            self._evicting.add(command.job_id)
            time.at(time.now + self._settings.hop_s, partial(self._world.stop, command.job_id))
        elif isinstance(command, Reject):
            self._refused(command)
        elif isinstance(command, WakeAt):
            self._wake_at = command.at
            time.at(command.at, partial(self._wake, command.at))

    def _wake(self, planned_at: float) -> None:
        if planned_at == self._wake_at:  # a later WakeAt replaces an earlier one
            self._wake_at = None
            self._tell(Woken())
