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
class Reject:
    """Refuse the job.

    Attributes:
        job_id: the job, forgotten by the core.
        reason: a stable word, for example `never-fits`.
        detail: one sentence for people.
    """

    job_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send `Woken` at this instant (seconds, the clock of `now`).

    A later `WakeAt` replaces an earlier one.
    """

    at: float


Command = Start | Stop | Reject | WakeAt
