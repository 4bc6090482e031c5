"""`Refusals`: turns jobs away and says why; whom, is decided by `pressure` and the ledger.

A newcomer is judged once, when all that will be known of it is known. Nobody who runs is ever refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from sagesched_gateway.scheduling.alarms import Alarm, Alarms
from sagesched_gateway.scheduling.books import Books
from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.job import Job

NEVER_FITS = "never-fits"


class Refusals:
    """Of one core."""

    def __init__(self, books: Books, alarms: Alarms) -> None:
        self._books = books
        self._alarms = alarms

    def may_stay(self, job: Job, now: float) -> bool:
        """Whether a newcomer of which all is known can be in time; turns it away where it cannot."""
        refusal = self._books.pressure.refusal(job, now)
        if refusal is not None:
            self._refuse([(job, refusal)])
        return refusal is None

    def note_known(self, job: Job, now: float) -> None:
        """All is known of a newcomer that waits: who must go because of it?"""
        job.is_known = True
        pressure = self._books.pressure
        pressure.known(job, now)
        if job.deadline_at is not None:
            self._alarms.set(Alarm.DEADLINE, pressure.deadlines.next_at)
        if pressure.is_limited:
            self._refuse(pressure.excess(now))

    def give_up_late(self, now: float) -> None:
        """Turn away what waits and cannot be in time any more."""
        pressure = self._books.pressure
        if now >= pressure.deadlines.next_at:
            self._refuse(pressure.too_late(now))
            self._alarms.set(Alarm.DEADLINE, pressure.deadlines.next_at)

    def leave_behind(self, until: float, now: float) -> None:
        """Turn away what waits and will rather not be done by an instant at which everything ends."""
        self._refuse(self._books.pressure.left_behind(until, now))

    def never_fits(self, job: Job) -> None:
        """Turn away a job, not in the queue, that the engine could not run even alone."""
        books = self._books
        detail = books.ledger.never_fits(job.need) or "the engine cannot hold it"
        books.forget(job)
        books.commands.append(Reject(job.job_id, NEVER_FITS, detail))

    def _refuse(self, refusals: Iterable[tuple[Job, Reject]]) -> None:
        books = self._books
        for job, reject in refusals:
            if job.job_id in books.queue:
                books.dequeue(job)
            books.forget(job)
            books.commands.append(reject)
