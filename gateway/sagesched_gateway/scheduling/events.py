"""What happened, told to the core.

Each event is handled together with `now` (seconds, any monotonic origin).
"""

from __future__ import annotations

from dataclasses import dataclass

from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.job import TakeBack
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_predictor.distribution import LengthDistribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A request arrived.

    Attributes:
        job_id: unique among all jobs the core has not yet forgotten.
        arrival_at: instant of arrival, seconds on the clock of `now`; ties in order go by it.
        prompt_tokens: prompt length in tokens, >= 1.
        max_tokens: cap on output tokens, >= 1.
        distribution: output length, already clipped or not; None until `Predicted`.
        streams: `FirstToken` and `Progressed` will tell of it; False where the answer comes in one piece.
        awaits_prediction: a `Predicted` will follow soon, so deadline and overload are judged then, not now.
        tenant: on whose behalf.
        priority: band, higher first where tenants are kept apart; low ones may be shed in overload.
        deadline_at: instant by which the last token is wanted, on the clock of `now`; None for none.
        take_back: until when it may be cancelled in the engine and started again (`Evict`).
    """

    job_id: str
    arrival_at: float
    prompt_tokens: int
    max_tokens: int
    distribution: LengthDistribution | None = None
    streams: bool = False
    awaits_prediction: bool = False
    tenant: str = ""
    priority: int = 0
    deadline_at: float | None = None
    take_back: TakeBack = TakeBack.ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """The prediction of a job came, or it failed; ignored when the job is unknown.

    Attributes:
        job_id: the job.
        distribution: of its output length; None where no prediction will come any more.
    """

    job_id: str
    distribution: LengthDistribution | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDistributionChanged:
    """The distribution assumed for jobs that have no prediction yet."""

    distribution: LengthDistribution


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken:
    """The engine finished the job's prefill.

    Attributes:
        job_id: the job.
        prompt_tokens: the engine's own count of the prompt, which replaces an estimate; None where it is
            silent.
    """

    job_id: str
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """The job has produced `output_tokens` in total so far."""

    job_id: str
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The engine's final response for a running job, good or bad: its slot and memory are free.

    Attributes:
        job_id: the job.
        output_tokens: output tokens of a whole answer; None where it has none or nobody counted.
    """

    job_id: str
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeued:
    """A job in flight is out of the engine and not done; it waits again, its arrival kept.

    Either the engine refused it before its first token, or the core asked for it (`Evict`).

    Attributes:
        job_id: the job.
        output_tokens: what it had generated: its answer is longer than that. None where nobody counted: then
            what it is estimated to have had by now, and 0 where it was refused.
    """

    job_id: str
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The client no longer wants the job.

    Forgotten when queued; `Stop`ped when running, and held until `Finished`.
    """

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityChanged:
    """The engine's limits or speed, as now known."""

    capacity: EngineCapacity


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChanged:
    """Another policy, or other settings of it; all waiting jobs are keyed again."""

    settings: PolicySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureChanged:
    """Other deadlines, limits or tenants; nobody who waits is refused because of it."""

    settings: PressureSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """No newcomers from now on, and what is left at an instant is cut off.

    Attributes:
        until: that instant, seconds on the clock of `now`.
    """

    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Woken:
    """The instant asked for by `WakeAt` has come."""


Event = (
    Submitted
    | Predicted
    | PoolDistributionChanged
    | FirstToken
    | Progressed
    | Finished
    | Requeued
    | Cancelled
    | CapacityChanged
    | PolicyChanged
    | PressureChanged
    | Draining
    | Woken
)
