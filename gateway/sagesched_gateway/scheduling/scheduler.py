"""`Scheduler`: events in, commands out; decides which waiting request starts next, and when.

Sans-I/O: no clock (each event comes with `now`), no socket, task, lock, logger or chance. The same object
runs in the live gateway, in replay and in property tests, and the same events give the same commands. One
owner calls it.

One `_on_<event>` per event, and each ends in the same `_start_what_fits`: arrival, failure, cancellation and
a changed engine all give free room away by the one path. The order of starts is the policy's; the only
exceptions are

- a request that arrives at an empty queue and fits starts at once, before it is costed at all;
- *a blocked head*: when the first in order lacks only KV blocks, later ones (the next `PASS_SCAN` in order)
  may pass it until it has been blocked for `PASS_BLOCKED_S`; from then on what becomes free is kept for it
  and nobody passes. So a big request delays others by at most one drain of the engine, and others delay it by
  at most `PASS_BLOCKED_S`. Where slots or prefill are what is missing, nobody passes: the next finish or
  first token serves the head.

What requests cost, with or without a prediction, is `costing`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sagesched_gateway.scheduling import events
from sagesched_gateway.scheduling.admission import Ledger, Need, Obstacle
from sagesched_gateway.scheduling.alarms import Alarm, Alarms
from sagesched_gateway.scheduling.backlog import Backlog
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Command, Evict, Reject, Start, Stop, WakeAt
from sagesched_gateway.scheduling.costing import Costing
from sagesched_gateway.scheduling.drain import InFlight, drain_iterations
from sagesched_gateway.scheduling.eta import Eta
from sagesched_gateway.scheduling.eviction import Evictor
from sagesched_gateway.scheduling.feasibility import Foresight, policy_note
from sagesched_gateway.scheduling.job import IN_FLIGHT, NOBODY, Flow, IllegalEventError, Job, JobState
from sagesched_gateway.scheduling.policies.base import Moment, Policy
from sagesched_gateway.scheduling.policies.registry import POLICIES, PolicyFactory, make_policy
from sagesched_gateway.scheduling.pressure import Pressure
from sagesched_gateway.scheduling.queue import BY_ARRIVAL, KeyedQueue, Work
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_gateway.scheduling.snapshot import SchedulerSnapshot
from sagesched_gateway.scheduling.tenants import FairQueue, FairShares
from sagesched_predictor.distribution import LengthDistribution

PASS_SCAN = 8
PASS_BLOCKED_S = 1.0
NEVER_FITS = "never-fits"
NO_PRESSURE = PressureSettings()


class Scheduler:
    """The scheduling core of one engine."""

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
        self._policies = policies
        self._settings = settings
        self.costing = Costing(make_policy(settings, policies), capacity)
        self.ledger = Ledger(capacity, self.policy.greedy)
        self.backlog = Backlog()
        self.jobs: dict[str, Job] = {}
        self.last_now = 0.0
        self.pressure = Pressure(self, pressure)
        self.shares = _shares(pressure)
        self.queue = self._new_queue()
        self._num_rekeys = 0
        self._num_evictions = 0
        self._alarms = Alarms()
        # Free KV blocks below which nobody who waits could start, as last seen; None where not known.
        self._stuck_below: float | None = None
        # Until when no look at the head's growth is worth it, unless something else than progress happens.
        self.stuck_until = 0.0
        self._commands: list[Command] = []
        self._foresight = Foresight(self.policy)
        self._evictor = Evictor(self.policy)

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
        self.last_now = now
        commands: list[Command] = []
        self._commands = commands
        if type(event) is not events.Progressed:
            self._stuck_below = None
            self.stuck_until = now
        _HANDLERS[type(event)](self, event, now)
        wake_at = self._alarms.news(now)
        if wake_at is not None:
            commands.append(WakeAt(wake_at))
        return commands

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.costing.policy

    def job_state(self, job_id: str) -> JobState:
        """Where a job stands; FORGOTTEN when the core does not know it (any more)."""
        job = self.jobs.get(job_id)
        return JobState.FORGOTTEN if job is None else job.state

    def obstacle(self, job: Job, now: float) -> Obstacle | None:
        """Why a waiting job cannot start now, its growth as the policy expects it included."""
        obstacle = self.ledger.obstacle(job.need, now)
        if job.bound is None or obstacle is not None:
            return obstacle
        if not self._foresight.admits(job, self.jobs, self.ledger, now):
            return Obstacle.GROWTH
        return obstacle

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
        job.bound = self.costing.bound(job)
        return self.pressure.eta(job, now)

    def drain_s(self, now: float, quantile: float) -> float:
        """Seconds after which all in flight has ended with this probability; 0 when nothing is."""
        in_flight = []
        for held in self.ledger.held(now):
            job = self.jobs[held.job_id]
            generated = max(held.tokens - job.need.prompt_tokens - 1, 0.0)
            in_flight.append(InFlight(self.costing.lengths(job), generated))
        iteration_s = self.ledger.capacity.iteration_s * self.pressure.estimator.pace
        return drain_iterations(in_flight, quantile) * iteration_s

    def snapshot(self) -> SchedulerSnapshot:
        """The core at a glance."""
        capacity = self.ledger.capacity
        gamma = self.policy.gamma_per_step
        return SchedulerSnapshot(
            policy=self.policy.name,
            num_queued=len(self.queue),
            num_running=self.ledger.num_in_flight,
            backlog_s=self.backlog.steps * capacity.iteration_s,
            gamma=None if gamma is None else gamma / capacity.iteration_s,
            num_rekeys=self._num_rekeys,
            slots=self.ledger.num_slots,
            reserved_slots=self.ledger.num_in_flight,
            kv_blocks=capacity.kv_blocks,
            reserved_blocks=self.ledger.reserved_blocks(self.last_now),
            kv_blocks_usable=self.ledger.room.usable_blocks,
            num_waits_inside=self.ledger.room.num_waits,
            unprefilled_tokens=self.ledger.unprefilled_tokens,
            oldest_arrival_at=self.queue.oldest_arrival() if len(self.queue) else None,
            num_evictions=self._num_evictions,
            time_to_start_all_s=self.pressure.backlog_s,
            drain_ratio=self.pressure.drain.steps_per_s(capacity.iteration_s) * capacity.iteration_s,
            policy_note=policy_note(self.policy, self.ledger),
        )

    # --- Events ---

    def _on_submitted(self, event: events.Submitted, now: float) -> None:
        if event.job_id in self.jobs:
            raise IllegalEventError(f"job {event.job_id!r} was submitted twice")
        need = Need(event.prompt_tokens, event.max_tokens, event.streams)
        job = Job(event.job_id, event.arrival_at, need, event.distribution, deadline_at=event.deadline_at)
        if event.tenant or event.priority:
            job.flow = Flow(event.priority, event.tenant)
        job.bound = self.costing.bound(job)
        self.jobs[job.job_id] = job
        self.ledger.assume_prefilled(now)
        obstacle = self.obstacle(job, now)
        if obstacle is Obstacle.NEVER_FITS:
            self._reject_never_fits(job)
        elif not event.awaits_prediction and not self._may_stay(job, now):
            pass
        elif obstacle is None and not len(self.queue):
            self._start(job, now)
        else:
            self._enqueue(job)
            if not event.awaits_prediction:
                self._note_known(job, now)
        self._start_what_fits(now)

    def _on_predicted(self, event: events.Predicted, now: float) -> None:
        job = self.jobs.get(event.job_id)
        if job is not None:
            job.distribution = event.distribution or job.distribution
            if job.state is JobState.WAITING:
                self._key_again(job)
            else:
                job.bound = self.costing.bound(job)
            waits = job.state is JobState.WAITING and not job.is_known
            if waits and self._may_stay(job, now):
                self._note_known(job, now)
        self._start_what_fits(now)

    def _on_pool_distribution_changed(self, event: events.PoolDistributionChanged, now: float) -> None:
        self.costing.assume(event.distribution)
        for job in self._waiting():
            if job.distribution is None:
                self._key_again(job)
        self._start_what_fits(now)

    def _on_first_token(self, event: events.FirstToken, now: float) -> None:
        self._note_progress(event.job_id, 1, now)
        if event.prompt_tokens is not None and self.job_state(event.job_id) in IN_FLIGHT:
            self.ledger.correct_prompt(event.job_id, event.prompt_tokens, now)
        self._start_what_fits(now)

    def _on_progressed(self, event: events.Progressed, now: float) -> None:
        self._note_progress(event.job_id, event.output_tokens, now)
        self._start_what_fits(now)

    def _on_finished(self, event: events.Finished, now: float) -> None:
        job = self._in_flight(event.job_id, "finished")
        if event.output_tokens is not None and job.state is not JobState.STOPPING:
            self.pressure.served(job, event.output_tokens, now)
            self.ledger.grow(job.job_id, event.output_tokens, now)
        self._leave_engine(job, event.output_tokens)
        self._forget(job)
        self._start_what_fits(now)

    def _on_requeued(self, event: events.Requeued, now: float) -> None:
        job = self._in_flight(event.job_id, "was queued again")
        if job.state is JobState.STOPPING:
            # Its client had already gone, so there is nobody to wait for.
            self._leave_engine(job, event.output_tokens)
            self._forget(job)
        else:
            job.least_tokens = min(max(job.least_tokens, event.output_tokens + 1), job.need.max_tokens)
            job.move_to(JobState.WAITING)
            self._leave_engine(job, event.output_tokens)
            self._enqueue(job)
        self._start_what_fits(now)

    def _on_cancelled(self, event: events.Cancelled, now: float) -> None:
        job = self.jobs.get(event.job_id)
        if job is not None and job.state is JobState.WAITING:
            self._dequeue(job)
            self._forget(job)
        elif job is not None and job.state is not JobState.STOPPING:
            job.move_to(JobState.STOPPING)
            self._commands.append(Stop(job.job_id))
        self._start_what_fits(now)

    def _on_capacity_changed(self, event: events.CapacityChanged, now: float) -> None:
        self.ledger.resize(event.capacity, self.policy.greedy)
        self._watch_overflow(now)
        if self.costing.follow(event.capacity):
            self._key_all_again()
        self._start_what_fits(now)

    def _on_policy_changed(self, event: events.PolicyChanged, now: float) -> None:
        self.costing.use(make_policy(event.settings, self._policies))
        self._settings = event.settings
        self.ledger.resize(self.ledger.capacity, self.policy.greedy)
        self._foresight, self._evictor = Foresight(self.policy), Evictor(self.policy)
        self._watch_overflow(now)
        for job in self.jobs.values():
            job.bound = self.costing.bound(job)
        self.pressure.follow_policy()
        self._key_all_again()
        self._start_what_fits(now)

    def _on_pressure_changed(self, event: events.PressureChanged, now: float) -> None:
        if event.settings.tenants != self.pressure.settings.tenants:
            self.shares = _shares(event.settings)
            self.pressure.settings = event.settings
            self._key_all_again()
        self.pressure.settings = event.settings
        self._start_what_fits(now)

    def _on_woken(self, event: events.Woken, now: float) -> None:
        self._alarms.woken()
        self._start_what_fits(now)

    # --- The one door ---

    def _start_what_fits(self, now: float) -> None:
        """Give free room to waiting jobs in the policy's order until the first that must wait."""
        self.ledger.assume_prefilled(now)
        if now >= self._evictor.look_at:
            self._evict_what_overflows(now)
        if now >= self.pressure.deadlines.next_at:
            self._refuse(self.pressure.too_late(now))
            self._alarms.set(Alarm.DEADLINE, self.pressure.deadlines.next_at)
        if now < self.stuck_until:
            return
        if self._stuck_below is not None and not self.ledger.has_blocks(self._stuck_below, now):
            return
        self._stuck_below = None
        while len(self.queue) and self.ledger.has_slot():
            self._look_again(now)
            job = self.jobs[self.queue.head()]
            obstacle = self.obstacle(job, now)
            if obstacle is Obstacle.GROWTH:
                self.stuck_until = now + self.ledger.capacity.iteration_s
                return
            if obstacle is Obstacle.KV:
                passing = self._passing(job, now)
                if passing is None:
                    return
                job = passing
            elif obstacle is Obstacle.PREFILL:
                self._wake_when_prefilled()
                return
            self._dequeue(job, starts=obstacle is not Obstacle.NEVER_FITS)
            if obstacle is Obstacle.NEVER_FITS:
                self._reject_never_fits(job)
            else:
                self._start(job, now)

    def _passing(self, head: Job, now: float) -> Job | None:
        """The job that may start although the head, which lacks KV blocks, cannot."""
        if head.blocked_since is None:
            head.blocked_since = now
        stuck_below = self.ledger.blocks_to_start(head.need)
        may_pass = self.policy.may_pass and now - head.blocked_since < PASS_BLOCKED_S
        for job_id in self.queue.first(1 + PASS_SCAN)[1:] if may_pass else ():
            job = self.jobs[job_id]
            obstacle = self.obstacle(job, now)
            if obstacle is None:
                return job
            if obstacle is Obstacle.PREFILL:
                self._wake_when_prefilled()
            stuck_below = min(stuck_below, self.ledger.blocks_to_start(job.need))
        if not self.policy.needs_oldest:
            # The same jobs will be looked at until something else than progress happens; only the age guard's
            # order changes by itself.
            self._stuck_below = stuck_below
        return None

    def _evict_what_overflows(self, now: float) -> None:
        for job in self._evictor.victims(self.jobs, self.ledger, now):
            job.move_to(JobState.EVICTING)
            job.evictions += 1
            self._num_evictions += 1
            self._commands.append(Evict(job.job_id))
        self._alarms.set(Alarm.OVERFLOW, self._evictor.look_at)

    def _look_again(self, now: float) -> None:
        """Move all keys if the policy now sees them differently."""
        capacity = self.ledger.capacity
        needs_oldest = self.policy.needs_oldest
        oldest = self.costing.facts(self.jobs[self.queue.oldest()]) if needs_oldest else None
        moment = Moment(now, capacity.iteration_s, capacity.prefill_s_per_token, self.backlog.steps, oldest)
        if isinstance(self.queue, FairQueue):
            self._num_rekeys += self.queue.look_again(moment)
            return
        view = self.policy.view(moment)
        if view != self.queue.view:
            self.queue.look_through(view)
            self._num_rekeys += 1

    def _may_stay(self, job: Job, now: float) -> bool:
        """Whether a newcomer of which all is known can be in time; turns it away where it cannot."""
        refusal = self.pressure.refusal(job, now)
        if refusal is not None:
            self._refuse([(job, refusal)])
        return refusal is None

    def _note_known(self, job: Job, now: float) -> None:
        """All is known of a newcomer that waits: who must go because of it?"""
        job.is_known = True
        self.pressure.known(job, now)
        if job.deadline_at is not None:
            self._alarms.set(Alarm.DEADLINE, self.pressure.deadlines.next_at)
        if self.pressure.is_limited:
            self._refuse(self.pressure.excess(now))

    def _refuse(self, refusals: Iterable[tuple[Job, Reject]]) -> None:
        """Turn newcomers and waiting jobs away."""
        for job, reject in refusals:
            if job.job_id in self.queue:
                self._dequeue(job)
            self._forget(job)
            self._commands.append(reject)

    def _watch_overflow(self, now: float) -> None:
        if self.policy.evict_first is not None:
            self._evictor.changed(self.ledger, now)
            self._alarms.set(Alarm.OVERFLOW, self._evictor.look_at)

    def _wake_when_prefilled(self) -> None:
        due_at = self.ledger.next_prefill_due_at
        if due_at is not None:
            self._alarms.set(Alarm.PREFILL, due_at)

    # --- Small steps ---

    def _waiting(self) -> list[Job]:
        return [self.jobs[job_id] for job_id in self.queue]

    def _in_flight(self, job_id: str, happened: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None or job.state not in IN_FLIGHT:
            raise IllegalEventError(f"job {job_id!r} {happened} without being in flight")
        return job

    def _note_progress(self, job_id: str, output_tokens: int, now: float) -> None:
        job = self.jobs.get(job_id)
        if job is None or job.state is JobState.WAITING:
            return
        if job.state is JobState.STARTED:
            job.move_to(JobState.GENERATING)
        self.ledger.grow(job_id, output_tokens, now)

    def _new_queue(self) -> KeyedQueue | FairQueue:
        if self.shares is not None:
            settings = self._settings
            return FairQueue(lambda: make_policy(settings, self._policies), self.shares)
        return KeyedQueue(self.policy.num_columns, BY_ARRIVAL)

    def _enqueue(self, job: Job) -> None:
        self._push(job)
        self.pressure.joined(job, self.last_now)

    def _push(self, job: Job) -> None:
        row, job.mean_steps, job.variance_steps, job.bound = self.costing.cost(job)
        work = Work(job.mean_steps, job.variance_steps)
        if isinstance(self.queue, FairQueue):
            self.queue.push(job.job_id, job.arrival_at, row, work, job.flow)
        else:
            self.queue.push(job.job_id, job.arrival_at, row, work)
        self.backlog.add(job.mean_steps)

    def _dequeue(self, job: Job, *, starts: bool = False) -> None:
        self.queue.remove(job.job_id)
        self.pressure.left(job, self.last_now, starts=starts)
        self.backlog.remove(job.mean_steps)
        job.mean_steps = 0.0

    def _key_again(self, job: Job) -> None:
        self.backlog.remove(job.mean_steps)
        row, job.mean_steps, job.variance_steps, job.bound = self.costing.cost(job)
        self.queue.replace_row(job.job_id, row, Work(job.mean_steps, job.variance_steps))
        self.backlog.add(job.mean_steps)

    def _key_all_again(self) -> None:
        waiting = self._waiting()
        self.queue = self._new_queue()
        self.backlog = Backlog()
        for job in waiting:
            self._push(job)
        self._num_rekeys += 1

    def _start(self, job: Job, now: float) -> None:
        job.move_to(JobState.STARTED)
        job.blocked_since = None
        if self.shares is not None:
            steps, iterations = self.costing.cost(job).mean_steps, self.costing.lengths(job).mean
            self.shares.charge(job.job_id, job.flow, steps, iterations)
        self.ledger.reserve(job.job_id, job.need, now)
        self.pressure.started(job, now)
        self._watch_overflow(now)
        self._commands.append(Start(job.job_id))

    def _leave_engine(self, job: Job, output_tokens: int | None) -> None:
        """Free what a job held, and true up what its tenant was charged."""
        self.ledger.release(job.job_id)
        if self.shares is not None:
            self.shares.settle(job.job_id, job.flow, self.costing.used_steps(job, output_tokens))

    def _reject_never_fits(self, job: Job) -> None:
        detail = self.ledger.never_fits(job.need) or "the engine cannot hold it"
        self._forget(job)
        self._commands.append(Reject(job.job_id, NEVER_FITS, detail))

    def _forget(self, job: Job) -> None:
        job.move_to(JobState.FORGOTTEN)
        self.pressure.forgotten(job)
        del self.jobs[job.job_id]


def _shares(pressure: PressureSettings) -> FairShares | None:
    return None if pressure.tenants is None else FairShares(pressure.tenants)


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
    events.Woken: Scheduler._on_woken,
}
