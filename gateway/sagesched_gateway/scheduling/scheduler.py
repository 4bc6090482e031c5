"""`Scheduler`: events in, commands out; decides which waiting request starts next, and when.

Sans-I/O: no clock (each event comes with `now`), no socket, task, lock, logger or chance. The same object
runs in the live gateway, in replay and in property tests, and the same events give the same commands. One
owner calls it.

One `_on_<event>` per event, and each ends at the same `Door`: arrival, failure, cancellation and a changed
engine all give free room away by the one path. `Books` holds who is where; what requests cost, with or
without a prediction, is `costing`'s business; whom to turn away, that of `pressure` and `refusals`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sagesched_gateway.scheduling import events
from sagesched_gateway.scheduling.admission import Obstacle
from sagesched_gateway.scheduling.alarms import Alarms
from sagesched_gateway.scheduling.books import Books
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Command, Stop, WakeAt
from sagesched_gateway.scheduling.door import Door
from sagesched_gateway.scheduling.eta import Eta
from sagesched_gateway.scheduling.feasibility import policy_note
from sagesched_gateway.scheduling.job import IN_FLIGHT, NOBODY, Flow, IllegalEventError, Job, JobState
from sagesched_gateway.scheduling.outlook import Outlook, drain_s, outlook_of
from sagesched_gateway.scheduling.policies.base import Policy
from sagesched_gateway.scheduling.policies.registry import POLICIES, PolicyFactory
from sagesched_gateway.scheduling.refusals import Refusals
from sagesched_gateway.scheduling.reservation import Need
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_gateway.scheduling.snapshot import SchedulerSnapshot
from sagesched_gateway.scheduling.tenants import FairQueue
from sagesched_predictor.distribution import LengthDistribution

NO_PRESSURE = PressureSettings()


class Scheduler:
    """The scheduling core of one engine.

    Attributes:
        books: who is where.
        door: the way into the engine.
    """

    def __init__(
        self,
        settings: PolicySettings,
        capacity: EngineCapacity,
        policies: Mapping[str, PolicyFactory] = POLICIES,
        pressure: PressureSettings = NO_PRESSURE,
    ) -> None:
        """Start empty.

        Args:
            settings: policy by name, and its knobs.
            capacity: the engine as first known.
            policies: policies by name; replay adds its comparison policies here.
            pressure: deadlines, limits, tenants.

        Raises:
            ValueError: unknown policy, or a knob out of its range.
        """
        self._alarms = Alarms()
        self.books = Books(settings, capacity, policies, pressure)
        self._refusals = Refusals(self.books, self._alarms)
        self.door = Door(self.books, self._refusals, self._alarms)

    def handle(self, event: events.Event, now: float) -> list[Command]:
        """Take note of one event and say what to do.

        Args:
            event: what happened.
            now: the instant, seconds on one monotonic clock; `arrival_at` is on the same.

        Returns:
            Commands, to be performed in order.

        Raises:
            IllegalEventError: the event cannot have happened (see `events`).
            ValueError: `PolicyChanged` to an unknown policy; nothing is changed then.
        """
        self.books.last_now = now
        commands: list[Command] = []
        self.books.commands = commands
        if type(event) is not events.Progressed:
            self.door.look_anew(now)
        _HANDLERS[type(event)](self, event, now)
        self.door.open(now)
        wake_at = self._alarms.news(now)
        if wake_at is not None:
            commands.append(WakeAt(wake_at))
        return commands

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.books.policy

    @property
    def num_waiting(self) -> int:
        """Jobs in the queue."""
        return len(self.books.queue)

    def job_state(self, job_id: str) -> JobState:
        """Where a job stands; FORGOTTEN when the core does not know it (any more)."""
        job = self.books.jobs.get(job_id)
        return JobState.FORGOTTEN if job is None else job.state

    def eta(
        self,
        now: float,
        *,
        prompt_tokens: int,
        max_tokens: int,
        distribution: LengthDistribution | None = None,
        flow: Flow = NOBODY,
    ) -> Eta:
        """The wait that a newcomer would have; `now` not before the last event."""
        job = Job("", now, Need(prompt_tokens, max_tokens), distribution, flow=flow)
        job.bound = self.books.costing.bound(job)
        return self.books.pressure.eta(job, now)

    def outlook(self, now: float, *, prompt_tokens: int, max_tokens: int) -> Outlook:
        """What is to come, `eta` being that of a newcomer of such a size."""
        newcomer = self.eta(now, prompt_tokens=prompt_tokens, max_tokens=max_tokens)
        return outlook_of(self.books, newcomer, now)

    def until_ended_s(self, now: float, quantile: float) -> float:
        """Predicted seconds until all in flight has ended, with this probability."""
        return drain_s(self.books, now, quantile)

    @property
    def time_to_start_all_s(self) -> float:
        """Predicted seconds until all that waits has started."""
        return self.books.pressure.backlog_s

    def snapshot(self) -> SchedulerSnapshot:
        """The core at a glance."""
        books = self.books
        capacity = books.ledger.capacity
        gamma = books.policy.gamma_per_step
        queue = books.queue
        tenants = queue.waiting_tenants(capacity.iteration_s) if isinstance(queue, FairQueue) else ()
        return SchedulerSnapshot(
            policy=books.policy.name,
            num_queued=len(books.queue),
            num_running=books.ledger.num_in_flight,
            backlog_s=books.backlog.steps * capacity.iteration_s,
            gamma=None if gamma is None else gamma / capacity.iteration_s,
            num_rekeys=books.num_rekeys,
            slots=books.ledger.num_slots,
            reserved_slots=books.ledger.num_in_flight,
            kv_blocks=capacity.kv_blocks,
            reserved_blocks=books.ledger.reserved_blocks(books.last_now),
            kv_blocks_usable=books.ledger.room.usable_blocks,
            num_waits_inside=books.ledger.room.num_waits,
            unprefilled_tokens=books.ledger.unprefilled_tokens,
            oldest_arrival_at=books.queue.oldest_arrival() if len(books.queue) else None,
            num_evictions=self.door.num_evictions,
            discarded_tokens=books.discarded_tokens,
            time_to_start_all_s=books.pressure.backlog_s,
            drain_ratio=books.pressure.drain.steps_per_s(capacity.iteration_s) * capacity.iteration_s,
            tenants=tenants,
            policy_note=policy_note(books.policy, books.ledger),
        )

    # --- Events; the door is opened after each ---

    def _on_submitted(self, event: events.Submitted, now: float) -> None:
        books = self.books
        if event.job_id in books.jobs:
            raise IllegalEventError(f"job {event.job_id!r} was submitted twice")
        need = Need(event.prompt_tokens, event.max_tokens, event.streams)
        job = Job(event.job_id, event.arrival_at, need, event.distribution, deadline_at=event.deadline_at)
        job.take_back = event.take_back
        if event.tenant or event.priority:
            job.flow = Flow(event.priority, event.tenant)
        job.bound = books.costing.bound(job)
        books.jobs[job.job_id] = job
        books.ledger.assume_prefilled(now)
        obstacle = books.obstacle(job, now)
        if obstacle is Obstacle.NEVER_FITS:
            self._refusals.never_fits(job)
        elif not event.awaits_prediction and not self._refusals.may_stay(job, now):
            pass
        elif obstacle is None and not len(books.queue):
            self.door.start(job, now)
        else:
            books.enqueue(job)
            if not event.awaits_prediction:
                self._refusals.note_known(job, now)

    def _on_predicted(self, event: events.Predicted, now: float) -> None:
        books = self.books
        job = books.jobs.get(event.job_id)
        if job is None:
            return
        job.distribution = event.distribution or job.distribution
        if job.state is not JobState.WAITING:
            job.bound = books.costing.bound(job)
            return
        books.key_again(job)
        if not job.is_known and self._refusals.may_stay(job, now):
            self._refusals.note_known(job, now)

    def _on_pool_distribution_changed(self, event: events.PoolDistributionChanged, now: float) -> None:
        self.books.costing.assume(event.distribution)
        for job in self.books.waiting():
            if job.distribution is None:
                self.books.key_again(job)

    def _on_first_token(self, event: events.FirstToken, now: float) -> None:
        self.books.note_progress(event.job_id, 1, now)
        if event.prompt_tokens is not None and self.job_state(event.job_id) in IN_FLIGHT:
            self.books.ledger.correct_prompt(event.job_id, event.prompt_tokens, now)
        if self.books.costing.follow(self.books.ledger.counted_capacity):  # a wait may have taught its size
            self.books.key_all_again()

    def _on_progressed(self, event: events.Progressed, now: float) -> None:
        self.books.note_progress(event.job_id, event.output_tokens, now)

    def _on_finished(self, event: events.Finished, now: float) -> None:
        books = self.books
        job = books.in_flight(event.job_id, "finished")
        if event.output_tokens is not None and job.state is not JobState.STOPPING:
            books.pressure.served(job, event.output_tokens, now)
            books.ledger.grow(job.job_id, event.output_tokens, now)
        books.leave_engine(job, event.output_tokens)
        books.forget(job)

    def _on_requeued(self, event: events.Requeued, now: float) -> None:
        books = self.books
        job = books.in_flight(event.job_id, "was queued again")
        is_evicted = job.state is JobState.EVICTING
        output_tokens = event.output_tokens
        if output_tokens is None:
            output_tokens = books.ledger.estimated_output_tokens(job.job_id, now) if is_evicted else 0
        if job.state is JobState.STOPPING:
            # Its client had already gone, so there is nobody to wait for.
            books.leave_engine(job, output_tokens)
            books.forget(job)
            return
        if is_evicted:
            books.discarded_tokens += output_tokens
        job.least_tokens = min(max(job.least_tokens, output_tokens + 1), job.need.max_tokens)
        job.move_to(JobState.WAITING)
        books.leave_engine(job, output_tokens)
        books.enqueue(job)

    def _on_cancelled(self, event: events.Cancelled, now: float) -> None:
        books = self.books
        job = books.jobs.get(event.job_id)
        if job is not None and job.state is JobState.WAITING:
            books.dequeue(job)
            books.forget(job)
        elif job is not None and job.state is not JobState.STOPPING:
            job.move_to(JobState.STOPPING)
            books.commands.append(Stop(job.job_id))

    def _on_capacity_changed(self, event: events.CapacityChanged, now: float) -> None:
        self.books.ledger.resize(event.capacity, self.policy.greedy)
        self.door.watch_overflow(now)
        if self.books.costing.follow(self.books.ledger.counted_capacity):
            self.books.key_all_again()

    def _on_policy_changed(self, event: events.PolicyChanged, now: float) -> None:
        self.books.use_policy(event.settings)
        self.door.follow_policy(now)

    def _on_pressure_changed(self, event: events.PressureChanged, now: float) -> None:
        self.books.use_pressure(event.settings)

    def _on_draining(self, event: events.Draining, now: float) -> None:
        self._refusals.leave_behind(event.until, now)

    def _on_woken(self, event: events.Woken, now: float) -> None:
        self._alarms.woken()


_HANDLERS: dict[type[Any], Callable[[Scheduler, Any, float], None]] = {
    events.Submitted: Scheduler._on_submitted,
    events.Predicted: Scheduler._on_predicted,
    events.PoolDistributionChanged: Scheduler._on_pool_distribution_changed,
    events.FirstToken: Scheduler._on_first_token,
    events.Progressed: Scheduler._on_progressed,
    events.Finished: Scheduler._on_finished,
    events.Requeued: Scheduler._on_requeued,
    events.Cancelled: Scheduler._on_cancelled,
    events.CapacityChanged: Scheduler._on_capacity_changed,
    events.PolicyChanged: Scheduler._on_policy_changed,
    events.PressureChanged: Scheduler._on_pressure_changed,
    events.Draining: Scheduler._on_draining,
    events.Woken: Scheduler._on_woken,
}
