"""`Prefills`: jobs in flight whose prompts the engine has yet to read, as far as that is known.

A job is unprefilled from its start until its first token. Answers that are not streamed never show a first
token, so a job is assumed prefilled at

    due = start + 2 · prefill_s · (prompt tokens unprefilled then, its own included) + grace · iteration

with `PREFILL_GRACE_ITERATIONS`, or `HOLD_ITERATIONS` for one that streams. Without a first token by then it
must have been forgotten, unless somebody sent before it still streams: then it may as well be waiting.
"""

from __future__ import annotations

from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.reservation import Need, Reservation

PREFILL_GRACE_ITERATIONS = 4.0
HOLD_ITERATIONS = 200.0


class Prefills:
    """Those of one engine, in the order of their start, which is that in which they are prefilled.

    Attributes:
        tokens: their prompt tokens.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._unprefilled: dict[str, Reservation] = {}

    @property
    def next_due_at(self) -> float | None:
        """When the next one will be assumed prefilled; None when there is none."""
        return next(iter(self._unprefilled.values())).due_at if self._unprefilled else None

    def due_at(self, need: Need, capacity: EngineCapacity, now: float) -> float:
        """When a job that starts now will be assumed prefilled."""
        grace = HOLD_ITERATIONS if need.streams else PREFILL_GRACE_ITERATIONS
        tokens = self.tokens + need.prompt_tokens
        return now + 2.0 * tokens * capacity.prefill_s_per_token + grace * capacity.iteration_s

    def begin(self, job_id: str, reservation: Reservation) -> None:
        """A job starts."""
        self.tokens += reservation.need.prompt_tokens
        self._unprefilled[job_id] = reservation

    def end(self, job_id: str, reservation: Reservation) -> None:
        """A job is prefilled, or gone; one of which that is known already is left alone."""
        if not reservation.prefilled:
            reservation.prefilled = True
            self.tokens -= reservation.need.prompt_tokens
            del self._unprefilled[job_id]

    def first_due(self, now: float) -> tuple[str, Reservation] | None:
        """The one sent first, if it is due."""
        if not self._unprefilled:
            return None
        job_id, reservation = next(iter(self._unprefilled.items()))
        return (job_id, reservation) if reservation.due_at <= now else None

    def check(self, reservations: dict[str, Reservation]) -> None:
        """Raise AssertionError where this differs from what is in flight."""
        unprefilled = {job_id for job_id, reservation in reservations.items() if not reservation.prefilled}
        assert unprefilled == self._unprefilled.keys()
        assert self.tokens == sum(reservations[job_id].need.prompt_tokens for job_id in unprefilled)
