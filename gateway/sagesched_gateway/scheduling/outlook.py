"""What is to come, for those who ask: seconds of backlog, the wait of a newcomer, the length of a drain.

*Backlog*: until all that waits has started, log-normal as single waits are (`eta`): the sum of all work over
the measured drain. *Drain*: until all has ended: what runs by its remaining lengths (`drain`); with a queue,
until the last of it has started and what waits first would have run as well, both at the same quantile, which
is on the safe side.
"""

from __future__ import annotations

from typing import NamedTuple

from sagesched_gateway.scheduling.books import Books
from sagesched_gateway.scheduling.drain import InFlight, drain_iterations
from sagesched_gateway.scheduling.eta import Eta
from sagesched_gateway.scheduling.queue import FRONT


class Outlook(NamedTuple):
    """Predicted seconds, half and nine in ten of which are not exceeded.

    Attributes:
        backlog_p50_s: until all that waits has started.
        backlog_p90_s: likewise.
        eta_p50_s: wait of a newcomer of the usual size.
        eta_p90_s: likewise.
        drain_in_flight_s: until all that runs has ended, not exceeded in nine of ten cases.
        drain_all_s: until all has ended, likewise.
    """

    backlog_p50_s: float
    backlog_p90_s: float
    eta_p50_s: float
    eta_p90_s: float
    drain_in_flight_s: float
    drain_all_s: float


def outlook_of(books: Books, newcomer: Eta, now: float) -> Outlook:
    """Look ahead from an instant not before the last event."""
    backlog = books.pressure.until_all_started()
    in_flight_s = drain_s(books, now, 0.9)
    all_s = in_flight_s
    if len(books.queue):
        all_s = max(in_flight_s, backlog.quantile(0.9) + _run_s(books, 0.9))
    return Outlook(
        backlog_p50_s=backlog.quantile(0.5),
        backlog_p90_s=backlog.quantile(0.9),
        eta_p50_s=newcomer.quantile(0.5),
        eta_p90_s=newcomer.quantile(0.9),
        drain_in_flight_s=in_flight_s,
        drain_all_s=all_s,
    )


def drain_s(books: Books, now: float, quantile: float) -> float:
    """Seconds after which all in flight has ended with this probability; 0 when nothing is."""
    in_flight = []
    for held in books.ledger.held(now):
        job = books.jobs[held.job_id]
        generated = max(held.tokens - job.need.prompt_tokens - 1, 0.0)
        in_flight.append(InFlight(books.costing.lengths(job), generated))
    return drain_iterations(in_flight, quantile) * _iteration_s(books)


def _run_s(books: Books, quantile: float) -> float:
    """How long what waits first would run, were it started at once."""
    first = (books.jobs[job_id] for job_id in books.queue.first(FRONT))
    waiting = [InFlight(books.costing.lengths(job), 0.0) for job in first]
    return drain_iterations(waiting, quantile) * _iteration_s(books)


def _iteration_s(books: Books) -> float:
    return books.ledger.capacity.iteration_s * books.pressure.estimator.pace
