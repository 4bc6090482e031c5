"""What the core asks its shell to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Start:
    """Send the job to the engine now; the core already counts its slot and memory."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel the running job in the engine; its place is free only when `Finished` comes."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Evict:
    """Cancel the running job in the engine and keep its client: it will be started again, from scratch.

    Its place is free only when the engine has let go of it: then send `Requeued` with the tokens that it
    had generated, or `Finished` where it ended before the cancellation reached it.
    """

    job_id: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the job.

    Attributes:
        job_id: the job, forgotten by the core.
        reason: a stable word, for example `never-fits`.
        detail: one sentence for people.
        retry_after_s: when it would be taken, seconds from now; None where nobody can tell.
        probability: of being done in time, where its deadline is the reason; else None.
    """

    job_id: str
    reason: str
    detail: str
    retry_after_s: float | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send `Woken` at this instant (seconds, the clock of `now`).

    A later `WakeAt` replaces an earlier one.
    """

    at: float


Command = Start | Stop | Evict | Reject | WakeAt
