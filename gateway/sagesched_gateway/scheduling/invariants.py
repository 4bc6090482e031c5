"""What must hold after every event, whatever came before.

- Each job is in the queue or in the ledger as its state says, never in both, and nothing else is in either.
- What the ledger counts is the sum over the jobs in flight.
- Each key in the queue is what the policy's row gives through the view in force, and they are in order.
- The backlog is the sum over the jobs that wait.
- Nothing waits that fits and may start: neither the head nor, while passing is allowed, those behind it.

The test fixture runs `check` after each test, property tests after each event; for production it costs too
much.
"""

from __future__ import annotations

import math

from sagesched_gateway.scheduling.admission import Obstacle
from sagesched_gateway.scheduling.door import PASS_BLOCKED_S, PASS_SCAN
from sagesched_gateway.scheduling.job import IN_FLIGHT, JobState
from sagesched_gateway.scheduling.scheduler import Scheduler

_ROUNDING = 1e-9


def check(scheduler: Scheduler) -> None:
    """Raise AssertionError naming the first invariant that does not hold as of the last event."""
    _check_places(scheduler)
    scheduler.books.ledger.check(scheduler.books.last_now)
    _check_keys(scheduler)
    scheduler.books.queue.check()
    _check_backlog(scheduler)
    _check_nothing_waits_needlessly(scheduler)


def _check_places(scheduler: Scheduler) -> None:
    for job_id, job in scheduler.books.jobs.items():
        assert job.job_id == job_id, f"{job} is kept as {job_id!r}"
        assert (job_id in scheduler.books.queue) == (job.state is JobState.WAITING), (
            f"queue and state differ: {job}"
        )
        assert (job_id in scheduler.books.ledger) == (job.state in IN_FLIGHT), (
            f"ledger and state differ: {job}"
        )
    num_known = len(scheduler.books.queue) + scheduler.books.ledger.num_in_flight
    assert num_known == len(scheduler.books.jobs), "the queue or the ledger holds a forgotten job"


def _check_keys(scheduler: Scheduler) -> None:
    for job_id in scheduler.books.queue:
        view = scheduler.books.queue.view_of(job_id)
        job = scheduler.books.jobs[job_id]
        offset = float(scheduler.books.costing.cost(job).row[view.column])
        wanted = view.arrival_weight * job.arrival_at + view.scale * offset
        key = scheduler.books.queue.key(job_id)
        agrees = math.isclose(key, wanted, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        assert agrees, f"key {key}, not {wanted}: {job}"


def _check_backlog(scheduler: Scheduler) -> None:
    wanted = sum(
        scheduler.books.costing.cost(scheduler.books.jobs[job_id]).mean_steps
        for job_id in scheduler.books.queue
    )
    steps = scheduler.books.backlog.steps
    assert math.isclose(steps, wanted, rel_tol=1e-6, abs_tol=1e-6), f"backlog {steps}, not {wanted}"


def _check_nothing_waits_needlessly(scheduler: Scheduler) -> None:
    ledger, now = scheduler.books.ledger, scheduler.books.last_now
    if not len(scheduler.books.queue) or not ledger.has_slot():
        return
    head, *behind = (scheduler.books.jobs[job_id] for job_id in scheduler.books.queue.first(1 + PASS_SCAN))
    obstacle = scheduler.books.obstacle(head, now)
    if now < scheduler.door.stuck_until:
        return  # found not to fit less than an iteration ago, and nothing but progress since
    known = (Obstacle.PREFILL, Obstacle.KV, Obstacle.GROWTH)
    assert obstacle in known, f"the head could move on: {head}"
    if obstacle is Obstacle.KV and scheduler.policy.may_pass:
        assert head.blocked_since is not None, f"a blocked head without its clock: {head}"
        if now - head.blocked_since < PASS_BLOCKED_S:
            for job in behind:
                assert not ledger.fits(job.need, now), f"it could pass: {job}"
