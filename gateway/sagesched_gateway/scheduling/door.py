"""`Door`: the one way into the engine. Gives free room to waiting jobs in the policy's order.

Arrival, failure, cancellation and a changed engine all give free room away by `open`. The only exceptions to
the policy's order are

- a request that arrives at an empty queue and fits starts at once, before it is costed at all;
- *a blocked head*: when the first in order lacks only KV blocks, later ones (the next `PASS_SCAN` in order)
  may pass it until it has been blocked for `PASS_BLOCKED_S`; from then on what becomes free is kept for it
  and nobody passes. So a big request delays others by at most one drain of the engine, and others delay it by
  at most `PASS_BLOCKED_S`. Where slots or prefill are what is missing, nobody passes: the next finish or
  first token serves the head.

Under a policy that evicts, those whose growth would overflow the engine leave before anybody starts.
"""

from __future__ import annotations

from sagesched_gateway.scheduling.admission import Obstacle
from sagesched_gateway.scheduling.alarms import Alarm, Alarms
from sagesched_gateway.scheduling.books import Books
from sagesched_gateway.scheduling.commands import Evict
from sagesched_gateway.scheduling.eviction import Evictor
from sagesched_gateway.scheduling.job import Job, JobState
from sagesched_gateway.scheduling.refusals import Refusals

PASS_SCAN = 8
PASS_BLOCKED_S = 1.0


class Door:
    """Of one core.

    Attributes:
        stuck_until: until when no look at the head's growth is worth it, unless something else than progress
            happens.
        num_evictions: jobs cancelled to be started again, since the beginning.
    """

    def __init__(self, books: Books, refusals: Refusals, alarms: Alarms) -> None:
        self._books = books
        self._refusals = refusals
        self._alarms = alarms
        self._evictor = Evictor(books.policy)
        # Free KV blocks below which nobody who waits could start, as last seen; None where not known.
        self._stuck_below: int | None = None
        self.stuck_until = 0.0
        self.num_evictions = 0

    def look_anew(self, now: float) -> None:
        """Something else than progress has happened: what was found stuck may not be."""
        self._stuck_below = None
        self.stuck_until = now

    def follow_policy(self, now: float) -> None:
        """Another policy is in force."""
        self._evictor = Evictor(self._books.policy)
        self.watch_overflow(now)

    def watch_overflow(self, now: float) -> None:
        """Something more is in flight, or the engine's limits have changed."""
        if self._books.policy.evict_first is not None:
            self._evictor.changed(self._books.ledger, now)
            self._alarms.set(Alarm.OVERFLOW, self._evictor.look_at)

    def start(self, job: Job, now: float) -> None:
        """Let a job in that is not in the queue."""
        self._books.start(job, now)
        self.watch_overflow(now)

    def open(self, now: float) -> None:
        """Give free room to waiting jobs in the policy's order until the first that must wait."""
        books = self._books
        ledger = books.ledger
        ledger.assume_prefilled(now)
        if now >= self._evictor.look_at:
            self._evict_what_overflows(now)
        if now >= books.pressure.deadlines.next_at:
            self._refusals.give_up_late(now)
        if now < self.stuck_until:
            return
        if self._stuck_below is not None and not ledger.has_blocks(self._stuck_below, now):
            return
        self._stuck_below = None
        while len(books.queue) and ledger.has_slot():
            books.look_again(now)
            job = books.jobs[books.queue.head()]
            obstacle = books.obstacle(job, now)
            if obstacle is Obstacle.GROWTH:
                self.stuck_until = now + ledger.capacity.iteration_s
                return
            if obstacle is Obstacle.KV:
                passing = self._passing(job, now)
                if passing is None:
                    return
                job = passing
            elif obstacle is Obstacle.PREFILL:
                self._wake_when_prefilled()
                return
            books.dequeue(job, starts=obstacle is not Obstacle.NEVER_FITS)
            if obstacle is Obstacle.NEVER_FITS:
                self._refusals.never_fits(job)
            else:
                self.start(job, now)

    def _passing(self, head: Job, now: float) -> Job | None:
        """The job that may start although the head, which lacks KV blocks, cannot."""
        books = self._books
        if head.blocked_since is None:
            head.blocked_since = now
        stuck_below = books.ledger.blocks_to_start(head.need)
        may_pass = books.policy.may_pass and now - head.blocked_since < PASS_BLOCKED_S
        for job_id in books.queue.first(1 + PASS_SCAN)[1:] if may_pass else ():
            job = books.jobs[job_id]
            obstacle = books.obstacle(job, now)
            if obstacle is None:
                return job
            if obstacle is Obstacle.PREFILL:
                self._wake_when_prefilled()
            stuck_below = min(stuck_below, books.ledger.blocks_to_start(job.need))
        if not books.policy.needs_oldest:
            # The same jobs will be looked at until something else than progress happens; only the age guard's
            # order changes by itself.
            self._stuck_below = stuck_below
        return None

    def _evict_what_overflows(self, now: float) -> None:
        books = self._books
        for job in self._evictor.victims(books.jobs, books.ledger, now):
            job.move_to(JobState.EVICTING)
            job.evictions += 1
            self.num_evictions += 1
            books.commands.append(Evict(job.job_id))
        self._alarms.set(Alarm.OVERFLOW, self._evictor.look_at)

    def _wake_when_prefilled(self) -> None:
        due_at = self._books.ledger.next_prefill_due_at
        if due_at is not None:
            self._alarms.set(Alarm.PREFILL, due_at)
