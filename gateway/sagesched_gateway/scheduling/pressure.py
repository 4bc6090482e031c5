"""`Pressure`: what the core knows of waits, and whom it turns away because of them.

Puts `drain_rate`, `eta`, `deadlines` and `overload` together for the `Scheduler`, which tells it of each job
that joins, leaves or starts, and asks it whom to refuse. Where nothing is refused and nobody asks for waits
(`PressureSettings.measures`), it measures nothing either.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.deadlines import GIVEN_UP, TOO_LATE, Deadlines, give_up_at
from sagesched_gateway.scheduling.drain import KEEP_FROM, LEFT_BEHIND
from sagesched_gateway.scheduling.drain_rate import DrainRate
from sagesched_gateway.scheduling.eta import Estimator, Eta, FloatArray, probability_in_time
from sagesched_gateway.scheduling.job import Job, JobState
from sagesched_gateway.scheduling.overload import OVERLOADED, Overload
from sagesched_gateway.scheduling.policies.base import JobFacts
from sagesched_gateway.scheduling.queue import Work
from sagesched_gateway.scheduling.settings import PressureSettings
from sagesched_gateway.scheduling.tenants import FairQueue

if TYPE_CHECKING:
    from sagesched_gateway.scheduling.books import Books

PROBE_EVERY_S = 0.5
"""At most one wait in so many seconds is predicted just to learn how it turns out."""

MAX_PROBES = 256
"""At most so many at a time."""

AT_ONCE = Eta(0.0, 0.0, 1.0)


class _Probe(NamedTuple):
    """A predicted wait that is being lived through."""

    began_at: float
    eta: Eta
    ahead: Work


class Pressure:
    """Waits of one core.

    Attributes:
        settings: in force.
        drain: how fast the queue shortens.
        estimator: predicts waits and services.
        deadlines: of the waiting.
    """

    def __init__(self, core: Books, settings: PressureSettings) -> None:
        self.settings = settings
        self.drain = DrainRate()
        self.estimator = Estimator()
        self.deadlines = Deadlines()
        self._overload = Overload()
        self._core = core
        self._probes: dict[str, _Probe] = {}
        self._overdue: list[tuple[float, str]] = []
        self._probed_at = 0.0

    @property
    def backlog_s(self) -> float:
        """Seconds until all that waits has started, as the drain is measured."""
        return self._core.backlog.steps / self._steps_per_s

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit to what may wait."""
        return self.settings.overload.max_backlog_s is not None

    def eta(self, job: Job, now: float) -> Eta:
        """The wait of a job that is about to join or waits already."""
        return self._predict(job, now)[0]

    def until_all_started(self) -> Eta:
        """The time until all that waits has started; nobody overtakes all of it."""
        return self.estimator.wait_for(self._core.queue.total(), self._steps_per_s)

    def follow_policy(self) -> None:
        """Another policy is in force: keys mean something else."""
        self.estimator.follow_policy()
        self._probes.clear()
        self._overdue.clear()

    # --- What the scheduler tells ---

    def joined(self, job: Job, now: float) -> None:
        """A job has joined the queue."""
        if not self.settings.measures:
            return
        self.drain.joined(now)
        if self.is_limited and job.started_at is None:
            job.is_promised = self._overload.claim(job, now)
            self._overload.joined(job.job_id, job.band < self.settings.overload.sheddable_below, now)

    def known(self, job: Job, now: float) -> None:
        """All that will be known of a waiting newcomer is known: its predicted cost counts from here on."""
        if self.settings.measures:
            self.estimator.arrivals.note(now, self._core.queue.row(job.job_id).copy(), job.mean_steps)
            self._probe(job, now)
        if job.deadline_at is not None:
            facts = self._core.costing.facts(job)
            drop_below = self.settings.deadlines.drop_below
            instant = give_up_at(job.deadline_at, self._services_s(facts), facts.weights, drop_below)
            self.deadlines.expect(job.job_id, instant)

    def left(self, job: Job, now: float, *, starts: bool) -> None:
        """A job has left the queue, its work still noted in it."""
        if not self.settings.measures:
            return
        self.drain.left(now, job.mean_steps if starts else None, len(self._core.queue))

    def started(self, job: Job, now: float) -> None:
        """A job starts."""
        job.started_at = now
        probe = self._probes.pop(job.job_id, None)
        if probe is not None:
            self.estimator.waited(now - probe.began_at, probe.eta, probe.ahead)

    def forgotten(self, job: Job) -> None:
        """A job is out of the core."""
        self._probes.pop(job.job_id, None)
        self._overload.forget(job.job_id)

    def served(self, job: Job, output_tokens: int, now: float) -> None:
        """A job has ended with so many tokens."""
        assert job.started_at is not None, "it has run"
        capacity = self._core.ledger.capacity
        expected_s = (
            job.need.prompt_tokens * capacity.prefill_s_per_token + output_tokens * capacity.iteration_s
        )
        self.estimator.served(now - job.started_at, expected_s)

    # --- What the scheduler asks ---

    def refusal(self, job: Job, now: float) -> Reject | None:
        """Why a newcomer must not come in, when its deadline is out of reach."""
        if job.deadline_at is None or self.settings.deadlines.refuse_below == 0.0:
            return None
        facts = self._core.costing.facts(job)
        left_s = job.deadline_at - now
        eta = self.eta(job, now)
        probability = probability_in_time(eta, left_s, self._services_s(facts), facts.weights)
        if probability >= self.settings.deadlines.refuse_below:
            return None
        detail = (
            f"it would be done within {left_s:.1f} s with probability {probability:.2f} only, "
            f"{self.settings.deadlines.refuse_below:g} is asked for; "
            f"half of such requests wait {eta.quantile(0.5):.1f} s"
        )
        return Reject(job.job_id, TOO_LATE, detail, probability=probability)

    def too_late(self, now: float) -> Iterator[tuple[Job, Reject]]:
        """Waiting jobs that cannot be in time any more."""
        for job_id in self.deadlines.due(now):
            job = self._core.jobs.get(job_id)
            if job is not None and job.state is JobState.WAITING and job.deadline_at is not None:
                detail = f"even started now it would not be done within {job.deadline_at - now:.1f} s"
                yield job, Reject(job_id, GIVEN_UP, detail)

    def excess(self, now: float) -> Iterator[tuple[Job, Reject]]:
        """Waiting jobs to refuse, one after the other, until the backlog is within its limit."""
        limits = self.settings.overload
        if limits.max_backlog_s is None:
            return
        candidates = self._overload.in_order(self._core.jobs, now)
        while len(self._core.queue) > 1 and self._claimed_s(now) > limits.max_backlog_s:
            job = next(candidates, None)
            if job is None:
                return
            waiting_steps = self._core.backlog.steps - job.mean_steps
            retry_after_s = self._overload.retry_after(
                job, waiting_steps, limits.max_backlog_s, self._steps_per_s, now
            )
            detail = (
                f"{self.backlog_s:.0f} s of work wait, {limits.max_backlog_s:g} are allowed; "
                f"try again in {retry_after_s:.1f} s"
            )
            yield job, Reject(job.job_id, OVERLOADED, detail, retry_after_s=retry_after_s)

    def left_behind(self, until: float, now: float) -> Iterator[tuple[Job, Reject]]:
        """Waiting jobs that will rather be cut off at an instant than be done; nobody comes any more."""
        self.estimator.expect_nobody()
        for job in self._core.waiting():
            facts = self._core.costing.facts(job)
            eta = self.eta(job, now)
            probability = probability_in_time(eta, until - now, self._services_s(facts), facts.weights)
            if probability < KEEP_FROM:
                detail = (
                    f"the gateway is shutting down and would hardly finish it within {until - now:.0f} s "
                    f"(probability {probability:.2f})"
                )
                yield job, Reject(job.job_id, LEFT_BEHIND, detail)

    def _probe(self, job: Job, now: float) -> None:
        """From time to time, predict a wait to see how it turns out."""
        if now - self._probed_at < PROBE_EVERY_S:
            return
        self._probed_at = now
        self._learn_from_overdue(now)
        if len(self._probes) < MAX_PROBES:
            probe = self._probes[job.job_id] = _Probe(now, *self._predict(job, now))
            heapq.heappush(self._overdue, (now + probe.eta.quantile(0.9), job.job_id))

    def _learn_from_overdue(self, now: float) -> None:
        """Waits longer than all but one in ten were to be are known to be that long before they have ended.

        Learning from ended waits alone would be learning from the short ones.
        """
        while self._overdue and self._overdue[0][0] < now:
            probe = self._probes.get(heapq.heappop(self._overdue)[1])
            if probe is not None:
                self.estimator.waited(now - probe.began_at, probe.eta, probe.ahead)

    def _claimed_s(self, now: float) -> float:
        """Seconds of work that waits, or is about to come back as it was told."""
        rate = self._steps_per_s
        return (self._core.backlog.steps + self._overload.reserved_steps(rate, now)) / rate

    def _predict(self, job: Job, now: float) -> tuple[Eta, Work]:
        core = self._core
        waits = job.job_id in core.queue
        if not waits and not len(core.queue) and core.obstacle(job, now) is None:
            return AT_ONCE, Work(0.0, 0.0)
        own, row = self._own(job)
        queue = core.queue
        view = queue.view_for(job.flow) if isinstance(queue, FairQueue) else queue.view
        offset = view.scale * float(row[view.column])
        key = view.arrival_weight * job.arrival_at + offset
        work = queue.ahead_of(key, job.flow) if isinstance(queue, FairQueue) else queue.ahead_of(key)
        mean, variance = work
        if waits:
            mean, variance = mean - own.mean, variance - own.variance
        # Somebody must end before there is room.
        one = self.drain.steps_per_job or own.mean
        ahead = Work(max(mean, 0.0) + one, max(variance, 0.0) + one * one)
        return self.estimator.wait(ahead, offset, view, self._steps_per_s, now), ahead

    def _own(self, job: Job) -> tuple[Work, FloatArray]:
        """A job's own work, and its row."""
        if job.job_id in self._core.queue:
            return Work(job.mean_steps, job.variance_steps), self._core.queue.row(job.job_id)
        costed = self._core.costing.cost(job)
        return Work(costed.mean_steps, costed.variance_steps), costed.row

    def _services_s(self, facts: JobFacts) -> FloatArray:
        """Seconds from start to last token for each atom of the length."""
        capacity = self._core.ledger.capacity
        prefill_s = facts.prompt_tokens * capacity.prefill_s_per_token
        return (prefill_s + facts.tokens * capacity.iteration_s) * self.estimator.pace

    @property
    def _steps_per_s(self) -> float:
        return self.drain.steps_per_s(self._core.ledger.capacity.iteration_s)
