"""A request inside the core: what is known of it, where it stands, and where it may go.

```
               Submitted                  FirstToken
 (unknown) ───────────────► WAITING ──► STARTED ──► GENERATING
                             ▲ │ Start   │ │ │          │ │
                             └─┼─────────┘ │ │          │ │ Cancelled
                    Requeued   │           │ └──────────┼─┤
                               │ Cancelled │ Finished   │ ▼
                               ▼           ▼            ▼ STOPPING ──► FORGOTTEN
                           FORGOTTEN    FORGOTTEN    FORGOTTEN  Finished

                              Evict               Requeued
 STARTED, GENERATING ──────────────► EVICTING ───────────────► WAITING
                                        │ Cancelled: STOPPING
                                        ▼ Finished: FORGOTTEN
```

STOPPING and EVICTING still hold their slot and memory: the engine lets go of a cancelled job only with its
final response.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sagesched_gateway.scheduling.reservation import Need
from sagesched_predictor.distribution import LengthDistribution


class JobState(StrEnum):
    """Where a job stands; a FORGOTTEN one is no longer in the core."""

    WAITING = "waiting"
    STARTED = "started"
    GENERATING = "generating"
    STOPPING = "stopping"
    EVICTING = "evicting"
    FORGOTTEN = "forgotten"


LEGAL_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.STARTED, JobState.FORGOTTEN}),
    JobState.STARTED: frozenset(
        {
            JobState.GENERATING,
            JobState.WAITING,
            JobState.STOPPING,
            JobState.EVICTING,
            JobState.FORGOTTEN,
        }
    ),
    JobState.GENERATING: frozenset({JobState.STOPPING, JobState.EVICTING, JobState.FORGOTTEN}),
    JobState.EVICTING: frozenset({JobState.WAITING, JobState.STOPPING, JobState.FORGOTTEN}),
    JobState.STOPPING: frozenset({JobState.FORGOTTEN}),
    JobState.FORGOTTEN: frozenset(),
}

LEAVING = frozenset({JobState.STOPPING, JobState.EVICTING})
IN_FLIGHT = frozenset({JobState.STARTED, JobState.GENERATING}) | LEAVING


class TakeBack(StrEnum):
    """Until when a job may be cancelled in the engine to be started again without its client noticing."""

    ALWAYS = "always"
    BEFORE_FIRST_TOKEN = "before-first-token"
    NEVER = "never"


class IllegalEventError(RuntimeError):
    """The shell told the core something that cannot have happened: a bug of the shell, not of a client."""


class Flow(NamedTuple):
    """On whose behalf a request comes: a tenant in a band of priority, higher bands first."""

    band: int
    tenant: str


NOBODY = Flow(0, "")


@dataclass(slots=True)
class Job:
    """One request known to the core.

    Attributes:
        job_id: the shell's name for it.
        arrival_at: instant of arrival, kept when it is queued again.
        need: what it asks of the engine: prompt length and cap on output.
        distribution: its prediction; None until there is one.
        state: see the diagram above.
        mean_steps: expected service in engine steps while it waits, 0 otherwise; its part of the backlog.
        variance_steps: its variance, engine steps squared, as of its latest costing.
        blocked_since: when it first stood at the head and lacked only KV blocks; None before that.
        least_tokens: output tokens that its answer is known to have at least; 1 until it is evicted.
        bound: output tokens that the policy counts on, as of its latest costing or start; None where the
            policy has no bounds.
        evictions: times it was cancelled to be started again.
        flow: on whose behalf, and in which band.
        deadline_at: instant by which its last token is wanted, seconds; None for none.
        started_at: instant of its latest start, seconds; None before the first.
        is_promised: whether it was refused before and told to come now, so that it is not refused again.
        is_known: whether all that will be known of it is known.
        take_back: until when it may be evicted.
    """

    job_id: str
    arrival_at: float
    need: Need
    distribution: LengthDistribution | None = None
    state: JobState = JobState.WAITING
    mean_steps: float = 0.0
    variance_steps: float = 0.0
    blocked_since: float | None = None
    least_tokens: int = 1
    bound: int | None = None
    evictions: int = 0
    flow: Flow = NOBODY
    deadline_at: float | None = None
    started_at: float | None = None
    is_promised: bool = False
    is_known: bool = False
    take_back: TakeBack = TakeBack.ALWAYS

    @property
    def can_be_taken_back(self) -> bool:
        """Whether it may be cancelled in the engine now, and started again later."""
        if self.take_back is TakeBack.BEFORE_FIRST_TOKEN:
            return self.state is JobState.STARTED
        return self.take_back is TakeBack.ALWAYS

    @property
    def band(self) -> int:
        """Its priority."""
        return self.flow.band

    def move_to(self, state: JobState) -> None:
        """Change state.

        Raises:
            IllegalEventError: the table of legal transitions has no such arrow.
        """
        if state not in LEGAL_TRANSITIONS[self.state]:
            raise IllegalEventError(f"job {self.job_id!r} cannot go from {self.state} to {state}")
        self.state = state
