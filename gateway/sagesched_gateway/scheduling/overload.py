"""More waits than is worth waiting for: who is refused, and when to come back.

    backlog = (work of all that waits) / (measured drain)  >  max_backlog_s

*Who.* First those who may be shed: waiting requests of a priority below `sheddable_below`, lowest priority
first, dearest first. Then the dearest among the newcomers: what arrived within the last `NEWCOMER_S` and has
not started; who has waited longer than that has been promised service by it. One request may always wait.

*When to come back.* `retry_after_s` is the time until the excess over the limit has drained, the refused
request's own work counted, and the work of all others who were told to come back. So a burst is spread over
the time that it takes. The promise is kept: what those due within `HOLD_S` need, less what drains until they
are, is not given to others, and
who comes back in time, recognised by tenant, band and size, is let in. Who does not come within `GRACE_S`
has lost it, so that promises nobody takes up cost a few seconds of room, not more. Beyond `MOST_PROMISES`, as
when callers try again each second whatever they are told, times are told and no more room is kept.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from sagesched_gateway.scheduling.job import Flow, Job, JobState
from sagesched_gateway.scheduling.reservation import Need

NEWCOMER_S = 1.0
LEAST_RETRY_S = 0.5
HOLD_S = 1.0
GRACE_S = 3.0
EARLY_S = 0.01
MOST_PROMISES = 10_000
OVERLOADED = "overloaded"


class _Promise(NamedTuple):
    """Room for one refused request, from `due_at` on; `number` tells equal instants apart."""

    due_at: float
    number: int
    steps: float
    flow: Flow
    need: Need


class Overload:
    """Knows the newcomers, those who may be shed, and what was promised to the refused."""

    def __init__(self) -> None:
        self._newcomers: deque[tuple[float, str]] = deque()
        self._sheddable: dict[str, None] = {}
        self._to_come: list[_Promise] = []
        self._due: list[_Promise] = []
        self._num_promises = 0
        self._promised_steps = 0.0  # of all that are to come

    def joined(self, job_id: str, sheddable: bool, now: float) -> None:
        """A job begins to wait for the first time."""
        self._forget_old(now)
        self._newcomers.append((now, job_id))
        if sheddable:
            self._sheddable[job_id] = None

    def forget(self, job_id: str) -> None:
        """A job is over."""
        self._sheddable.pop(job_id, None)

    def in_order(self, jobs: Mapping[str, Job], now: float) -> Iterator[Job]:
        """Those who may be refused; each must have been before the next is asked for."""
        self._forget_old(now)
        sheddable = [jobs[job_id] for job_id in self._sheddable if _waits(jobs[job_id])]
        yield from _sorted(sheddable, lambda job: (job.band, -job.mean_steps, -job.arrival_at, job.job_id))
        known = [jobs[job_id] for _, job_id in self._newcomers if job_id in jobs]
        newcomers = [job for job in known if _waits(job) and job.started_at is None and not job.is_promised]
        yield from _sorted(newcomers, lambda job: (job.mean_steps, job.arrival_at, job.job_id), reverse=True)

    def _look_at_promises(self, now: float) -> None:
        while self._to_come and self._to_come[0].due_at <= now + HOLD_S:
            insort(self._due, heapq.heappop(self._to_come))
        while self._due and self._due[0].due_at < now - GRACE_S:
            self._strike(0)

    def _strike(self, place: int) -> None:
        """Somebody has come who was told to come now, or will not."""
        self._promised_steps -= self._due.pop(place).steps

    def _forget_old(self, now: float) -> None:
        while self._newcomers and self._newcomers[0][0] < now - NEWCOMER_S:
            self._newcomers.popleft()

    def reserved_steps(self, rate: float, now: float) -> float:
        """Work for which room is kept: of those who are to come back about now; `rate` is the drain."""
        self._look_at_promises(now)
        reserved = promised = 0.0
        for promise in self._due:
            promised += promise.steps
            reserved = max(reserved, promised - rate * max(promise.due_at - now, 0.0))
        return reserved

    def claim(self, job: Job, now: float) -> bool:
        """Whether a newcomer was told to come back now; it is let in once."""
        self._look_at_promises(now)
        for place, promise in enumerate(self._due):
            is_its_time = promise.due_at <= now + EARLY_S
            if is_its_time and promise.flow == job.flow and promise.need == job.need:
                self._strike(place)
                return True
        return False

    def retry_after(self, job: Job, backlog_steps: float, limit_s: float, rate: float, now: float) -> float:
        """Seconds until a refused request would fit under the limit; promises it.

        Args:
            job: its `mean_steps` are its work.
            backlog_steps: what waits without it.
            limit_s: the limit.
            rate: measured drain, steps/s.
            now: seconds.
        """
        self._look_at_promises(now)
        excess = backlog_steps + self._promised_steps + job.mean_steps - limit_s * rate
        seconds = max(excess / rate, LEAST_RETRY_S)
        if len(self._to_come) < MOST_PROMISES:
            self._num_promises += 1
            promise = _Promise(now + seconds, self._num_promises, job.mean_steps, job.flow, job.need)
            heapq.heappush(self._to_come, promise)
            self._promised_steps += promise.steps
        return seconds


def _sorted(jobs: list[Job], key: Callable[[Job], tuple[Any, ...]], reverse: bool = False) -> Iterator[Job]:
    """In order; the first, mostly the only one who must go, without the others being sorted."""
    if jobs:
        first = max(jobs, key=key) if reverse else min(jobs, key=key)
        yield first
        yield from sorted((job for job in jobs if job is not first), key=key, reverse=reverse)


def _waits(job: Job) -> bool:
    return job.state is JobState.WAITING
