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

from collections.abc import Callable, Mapping
from typing import Any

from sagesched_gateway.scheduling import events
from sagesched_gateway.scheduling.admission import Ledger, Need, Obstacle
from sagesched_gateway.scheduling.backlog import Backlog
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Command, Reject, Start, Stop, WakeAt
from sagesched_gateway.scheduling.costing import Costing
from sagesched_gateway.scheduling.job import IN_FLIGHT, IllegalEventError, Job, JobState
from sagesched_gateway.scheduling.policies.base import Moment, Policy
from sagesched_gateway.scheduling.policies.registry import POLICIES, PolicyFactory, make_policy
from sagesched_gateway.scheduling.queue import BY_ARRIVAL, KeyedQueue
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_gateway.scheduling.snapshot import SchedulerSnapshot

PASS_SCAN = 8
PASS_BLOCKED_S = 1.0
NEVER_FITS = "never-fits"


class Scheduler:
    """The scheduling core of one engine."""

    def __init__(
        self,
        settings: PolicySettings,
        capacity: EngineCapacity,
        policies: Mapping[str, PolicyFactory] = POLICIES,
    ) -> None:
        """Start empty.

        Args:
            settings: policy by name, and its knobs.
            capacity: the engine as first known.
            policies: policies by name; replay adds its comparison policies here.

        Raises:
            ValueError: unknown policy, or a knob out of its range.
        """
        self._policies = policies
        self.costing = Costing(make_policy(settings, policies), capacity)
        self.ledger = Ledger(capacity, self.policy.greedy)
        self.backlog = Backlog()
        self.queue = KeyedQueue(self.policy.num_columns, BY_ARRIVAL)
        self.jobs: dict[str, Job] = {}
        self.last_now = 0.0
        self._num_rekeys = 0
        self._wake_at: float | None = None
        # Free KV blocks below which nobody who waits could start, as last seen; None where not known.
        self._stuck_below: float | None = None
        self._commands: list[Command] = []

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
        _HANDLERS[type(event)](self, event, now)
        return commands

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.costing.policy

    def job_state(self, job_id: str) -> JobState:
        """Where a job stands; FORGOTTEN when the core does not know it (any more)."""
        job = self.jobs.get(job_id)
        return JobState.FORGOTTEN if job is None else job.state

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
            unprefilled_tokens=self.ledger.unprefilled_tokens,
            oldest_arrival_at=self.queue.oldest_arrival() if len(self.queue) else None,
        )

    # --- Events ---

    def _on_submitted(self, event: events.Submitted, now: float) -> None:
        if event.job_id in self.jobs:
            raise IllegalEventError(f"job {event.job_id!r} was submitted twice")
        need = Need(event.prompt_tokens, event.max_tokens)
        job = Job(event.job_id, event.arrival_at, need, event.distribution)
        self.jobs[job.job_id] = job
        self.ledger.assume_prefilled(now)
        obstacle = self.ledger.obstacle(job.need, now)
        if obstacle is Obstacle.NEVER_FITS:
            self._reject_never_fits(job)
        elif obstacle is None and not len(self.queue):
            self._start(job, now)
        else:
            self._enqueue(job)
        self._start_what_fits(now)

    def _on_predicted(self, event: events.Predicted, now: float) -> None:
        job = self.jobs.get(event.job_id)
        if job is not None and job.state is JobState.WAITING:
            job.distribution = event.distribution
            self._key_again(job)
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
        self.ledger.release(job.job_id)
        self._forget(job)
        self._start_what_fits(now)

    def _on_requeued(self, event: events.Requeued, now: float) -> None:
        job = self._in_flight(event.job_id, "was queued again")
        if job.state is JobState.STOPPING:
            # Its client had already gone, so there is nobody to wait for.
            self.ledger.release(job.job_id)
            self._forget(job)
        else:
            job.move_to(JobState.WAITING)
            self.ledger.release(job.job_id)
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
        if self.costing.follow(event.capacity):
            self._key_all_again()
        self._start_what_fits(now)

    def _on_policy_changed(self, event: events.PolicyChanged, now: float) -> None:
        self.costing.use(make_policy(event.settings, self._policies))
        self.ledger.resize(self.ledger.capacity, self.policy.greedy)
        self._key_all_again()
        self._start_what_fits(now)

    def _on_woken(self, event: events.Woken, now: float) -> None:
        self._wake_at = None
        self._start_what_fits(now)

    # --- The one door ---

    def _start_what_fits(self, now: float) -> None:
        """Give free room to waiting jobs in the policy's order until the first that must wait."""
        self.ledger.assume_prefilled(now)
        if self._stuck_below is not None and not self.ledger.has_blocks(self._stuck_below, now):
            return
        self._stuck_below = None
        while len(self.queue) and self.ledger.has_slot():
            self._look_again(now)
            job = self.jobs[self.queue.head()]
            obstacle = self.ledger.obstacle(job.need, now)
            if obstacle is Obstacle.KV:
                passing = self._passing(job, now)
                if passing is None:
                    return
                job = passing
            elif obstacle is Obstacle.PREFILL:
                self._wake_when_prefilled()
                return
            self._dequeue(job)
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
            obstacle = self.ledger.obstacle(job.need, now)
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

    def _look_again(self, now: float) -> None:
        """Move all keys if the policy now sees them differently."""
        capacity = self.ledger.capacity
        needs_oldest = self.policy.needs_oldest
        oldest = self.costing.facts(self.jobs[self.queue.oldest()]) if needs_oldest else None
        view = self.policy.view(
            Moment(now, capacity.iteration_s, capacity.prefill_s_per_token, self.backlog.steps, oldest)
        )
        if view != self.queue.view:
            self.queue.look_through(view)
            self._num_rekeys += 1

    def _wake_when_prefilled(self) -> None:
        due_at = self.ledger.next_prefill_due_at
        if due_at is not None and due_at != self._wake_at:
            self._wake_at = due_at
            self._commands.append(WakeAt(due_at))

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

    def _enqueue(self, job: Job) -> None:
        row, job.mean_steps = self.costing.cost(job)
        self.queue.push(job.job_id, job.arrival_at, row)
        self.backlog.add(job.mean_steps)

    def _dequeue(self, job: Job) -> None:
        self.queue.remove(job.job_id)
        self.backlog.remove(job.mean_steps)
        job.mean_steps = 0.0

    def _key_again(self, job: Job) -> None:
        self.backlog.remove(job.mean_steps)
        row, job.mean_steps = self.costing.cost(job)
        self.queue.replace_row(job.job_id, row)
        self.backlog.add(job.mean_steps)

    def _key_all_again(self) -> None:
        waiting = self._waiting()
        self.queue = KeyedQueue(self.policy.num_columns, BY_ARRIVAL)
        self.backlog = Backlog()
        for job in waiting:
            self._enqueue(job)
        self._num_rekeys += 1

    def _start(self, job: Job, now: float) -> None:
        job.move_to(JobState.STARTED)
        job.blocked_since = None
        self.ledger.reserve(job.job_id, job.need, now)
        self._commands.append(Start(job.job_id))

    def _reject_never_fits(self, job: Job) -> None:
        detail = self.ledger.never_fits(job.need) or "the engine cannot hold it"
        self._forget(job)
        self._commands.append(Reject(job.job_id, NEVER_FITS, detail))

    def _forget(self, job: Job) -> None:
        job.move_to(JobState.FORGOTTEN)
        del self.jobs[job.job_id]


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
    events.Woken: Scheduler._on_woken,
}
