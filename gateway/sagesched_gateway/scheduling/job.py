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
```

STOPPING still holds its slot and memory: the engine lets go of a cancelled job only with its final response.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sagesched_gateway.scheduling.admission import Need
from sagesched_predictor.distribution import LengthDistribution


class JobState(StrEnum):
    """Where a job stands; a FORGOTTEN one is no longer in the core."""

    WAITING = "waiting"
    STARTED = "started"
    GENERATING = "generating"
    STOPPING = "stopping"
    FORGOTTEN = "forgotten"


LEGAL_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.STARTED, JobState.FORGOTTEN}),
    JobState.STARTED: frozenset(
        {JobState.GENERATING, JobState.WAITING, JobState.STOPPING, JobState.FORGOTTEN}
    ),
    JobState.GENERATING: frozenset({JobState.STOPPING, JobState.FORGOTTEN}),
    JobState.STOPPING: frozenset({JobState.FORGOTTEN}),
    JobState.FORGOTTEN: frozenset(),
}

IN_FLIGHT = frozenset({JobState.STARTED, JobState.GENERATING, JobState.STOPPING})


class IllegalEventError(RuntimeError):
    """The shell told the core something that cannot have happened: a bug of the shell, not of a client."""


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
        blocked_since: when it first stood at the head and lacked only KV blocks; None before that.
    """

    job_id: str
    arrival_at: float
    need: Need
    distribution: LengthDistribution | None = None
    state: JobState = JobState.WAITING
    mean_steps: float = 0.0
    blocked_since: float | None = None

    def move_to(self, state: JobState) -> None:
        """Change state.

        Raises:
            IllegalEventError: the table of legal transitions has no such arrow.
        """
        if state not in LEGAL_TRANSITIONS[self.state]:
            raise IllegalEventError(f"job {self.job_id!r} cannot go from {self.state} to {state}")
        self.state = state
