"""`Books`: who is where, and the steps that keep queue, ledger, backlog and charges in agreement.

Each job is either in the queue or in the ledger. `enqueue`, `dequeue`, `start`, `leave_engine` and `forget`
are the only ways between them; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagesched_gateway.scheduling.admission import Ledger, Obstacle
from sagesched_gateway.scheduling.backlog import Backlog
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Command, Start
from sagesched_gateway.scheduling.costing import Costing
from sagesched_gateway.scheduling.feasibility import Foresight
from sagesched_gateway.scheduling.job import IN_FLIGHT, IllegalEventError, Job, JobState
from sagesched_gateway.scheduling.policies.base import Moment, Policy
from sagesched_gateway.scheduling.policies.registry import PolicyFactory, make_policy
from sagesched_gateway.scheduling.pressure import Pressure
from sagesched_gateway.scheduling.queue import BY_ARRIVAL, KeyedQueue, Work
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_gateway.scheduling.tenants import FairQueue, FairShares


class Books:
    """All jobs of one core.

    Attributes:
        costing: what they cost, under the policy in force.
        ledger: what those in flight hold.
        queue: those that wait.
        backlog: the work of those that wait.
        jobs: all of them by id.
        pressure: waits, as measured.
        shares: what tenants were charged; None where all are one.
        num_rekeys: times that all keys moved at once.
        discarded_tokens: output tokens that evicted jobs had generated.
        commands: what the shell is to do; the event being handled adds to it.
        last_now: the instant of the last event, seconds.
    """

    def __init__(
        self,
        settings: PolicySettings,
        capacity: EngineCapacity,
        policies: Mapping[str, PolicyFactory],
        pressure: PressureSettings,
    ) -> None:
        """Start empty; arguments as of `Scheduler`."""
        self._policies = policies
        self._settings = settings
        self.costing = Costing(make_policy(settings, policies), capacity)
        self.ledger = Ledger(capacity, self.policy.greedy)
        self.backlog = Backlog()
        self.jobs: dict[str, Job] = {}
        self.pressure = Pressure(self, pressure)
        self.shares = _shares(pressure)
        self.queue = self._new_queue()
        self.num_rekeys = 0
        self.discarded_tokens = 0
        self.commands: list[Command] = []
        self.last_now = 0.0
        self._foresight = Foresight(self.policy)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.costing.policy

    def obstacle(self, job: Job, now: float) -> Obstacle | None:
        """Why a waiting job cannot start now, its growth as the policy expects it included."""
        obstacle = self.ledger.obstacle(job.need, now)
        if job.bound is None or obstacle is not None:
            return obstacle
        if not self._foresight.admits(job, self.jobs, self.ledger, now):
            return Obstacle.GROWTH
        return obstacle

    def waiting(self) -> list[Job]:
        """Those that wait, in the order they were inserted."""
        return [self.jobs[job_id] for job_id in self.queue]

    def in_flight(self, job_id: str, happened: str) -> Job:
        """A job in flight; raises IllegalEventError where it is not."""
        job = self.jobs.get(job_id)
        if job is None or job.state not in IN_FLIGHT:
            raise IllegalEventError(f"job {job_id!r} {happened} without being in flight")
        return job

    # --- The steps of a job ---

    def enqueue(self, job: Job) -> None:
        """It waits from now on."""
        self._push(job)
        self.pressure.joined(job, self.last_now)

    def dequeue(self, job: Job, *, starts: bool = False) -> None:
        """It waits no more."""
        self.queue.remove(job.job_id)
        self.pressure.left(job, self.last_now, starts=starts)
        self.backlog.remove(job.mean_steps)
        job.mean_steps = 0.0

    def start(self, job: Job, now: float) -> None:
        """It goes to the engine: count what it holds, charge its tenant, tell the shell."""
        job.move_to(JobState.STARTED)
        job.blocked_since = None
        if self.shares is not None:
            steps, iterations = self.costing.cost(job).mean_steps, self.costing.lengths(job).mean
            self.shares.charge(job.job_id, job.flow, steps, iterations)
        self.ledger.reserve(job.job_id, job.need, now)
        self.pressure.started(job, now)
        self.commands.append(Start(job.job_id))

    def note_progress(self, job_id: str, output_tokens: int, now: float) -> None:
        """It has so many tokens; what is not in flight (any more) is left alone."""
        job = self.jobs.get(job_id)
        if job is None or job.state is JobState.WAITING:
            return
        if job.state is JobState.STARTED:
            job.move_to(JobState.GENERATING)
        self.ledger.grow(job_id, output_tokens, now)

    def leave_engine(self, job: Job, output_tokens: int | None) -> None:
        """Free what a job held, and true up what its tenant was charged."""
        self.ledger.release(job.job_id)
        if self.shares is not None:
            self.shares.settle(job.job_id, job.flow, self.costing.used_steps(job, output_tokens))

    def forget(self, job: Job) -> None:
        """It is over."""
        job.move_to(JobState.FORGOTTEN)
        self.pressure.forgotten(job)
        del self.jobs[job.job_id]

    # --- Keys ---

    def key_again(self, job: Job) -> None:
        """More is known of a waiting job."""
        self.backlog.remove(job.mean_steps)
        row, job.mean_steps, job.variance_steps, job.bound = self.costing.cost(job)
        self.queue.replace_row(job.job_id, row, Work(job.mean_steps, job.variance_steps))
        self.backlog.add(job.mean_steps)

    def key_all_again(self) -> None:
        """All that waits costs something else now."""
        waiting = self.waiting()
        self.queue = self._new_queue()
        self.backlog = Backlog()
        for job in waiting:
            self._push(job)
        self.num_rekeys += bool(waiting)

    def look_again(self, now: float) -> None:
        """Move all keys if the policy now sees them differently."""
        capacity = self.ledger.capacity
        oldest = self.costing.facts(self.jobs[self.queue.oldest()]) if self.policy.needs_oldest else None
        moment = Moment(
            now,
            capacity.iteration_s,
            capacity.prefill_s_per_token,
            self.backlog.steps,
            oldest,
            len(self.queue),
            capacity.slots,
        )
        if isinstance(self.queue, FairQueue):
            self.num_rekeys += self.queue.look_again(moment)
            return
        view = self.policy.view(moment)
        if view != self.queue.view:
            self.queue.look_through(view)
            self.num_rekeys += 1

    def use_policy(self, settings: PolicySettings) -> None:
        """Order by another policy; raises ValueError, and has changed nothing, where there is none such."""
        self.costing.use(make_policy(settings, self._policies))
        self._settings = settings
        self._foresight = Foresight(self.policy)
        self.ledger.resize(self.ledger.capacity, self.policy.greedy)
        for job in self.jobs.values():
            job.bound = self.costing.bound(job)
        self.pressure.follow_policy()
        self.key_all_again()

    def use_pressure(self, settings: PressureSettings) -> None:
        """Take other limits; tenants start anew where their shares change."""
        tenants_before, self.pressure.settings = self.pressure.settings.tenants, settings
        if settings.tenants != tenants_before:
            self.shares = _shares(settings)
            self.key_all_again()

    def _push(self, job: Job) -> None:
        row, job.mean_steps, job.variance_steps, job.bound = self.costing.cost(job)
        work = Work(job.mean_steps, job.variance_steps)
        if isinstance(self.queue, FairQueue):
            self.queue.push(job.job_id, job.arrival_at, row, work, job.flow)
        else:
            self.queue.push(job.job_id, job.arrival_at, row, work)
        self.backlog.add(job.mean_steps)

    def _new_queue(self) -> KeyedQueue | FairQueue:
        if self.shares is not None:
            settings = self._settings
            return FairQueue(lambda: make_policy(settings, self._policies), self.shares)
        return KeyedQueue(self.policy.num_columns, BY_ARRIVAL)


def _shares(pressure: PressureSettings) -> FairShares | None:
    return None if pressure.tenants is None else FairShares(pressure.tenants)
