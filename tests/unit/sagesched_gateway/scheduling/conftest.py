"""A core with a small engine behind it, driven by hand and checked after every event.

Not mocked: anything. Time stands still until a test moves `core.now`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sagesched_gateway.scheduling import events, invariants
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Command, Start
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor.distribution import LengthDistribution

ROOMY = EngineCapacity(
    slots=1, max_num_tokens=1000, block_tokens=10, iteration_s=0.01, prefill_s_per_token=1e-5
)


class Core:
    """A scheduler, a clock moved by hand, and the order in which jobs were started."""

    def __init__(self, settings: PolicySettings, capacity: EngineCapacity) -> None:
        self.scheduler = Scheduler(settings, capacity)
        self.capacity = capacity
        self.now = 0.0
        self.started: list[str] = []

    def handle(self, event: events.Event) -> list[Command]:
        commands = self.scheduler.handle(event, self.now)
        self.started += [command.job_id for command in commands if isinstance(command, Start)]
        invariants.check(self.scheduler)
        return commands

    def submit(
        self,
        job_id: str,
        *,
        prompt: int = 10,
        max_tokens: int = 100,
        output: LengthDistribution | float | None = None,
        arrival_at: float | None = None,
    ) -> list[Command]:
        return self.handle(
            events.Submitted(
                job_id=job_id,
                arrival_at=self.now if arrival_at is None else arrival_at,
                prompt_tokens=prompt,
                max_tokens=max_tokens,
                distribution=LengthDistribution.point(output) if isinstance(output, int | float) else output,
            )
        )

    def predict(self, job_id: str, output: LengthDistribution | float) -> list[Command]:
        known = LengthDistribution.point(output) if isinstance(output, int | float) else output
        return self.handle(events.Predicted(job_id=job_id, distribution=known))

    def first_token(self, job_id: str) -> list[Command]:
        return self.handle(events.FirstToken(job_id=job_id))

    def progress(self, job_id: str, tokens: int) -> list[Command]:
        return self.handle(events.Progressed(job_id=job_id, output_tokens=tokens))

    def finish(self, job_id: str) -> list[Command]:
        return self.handle(events.Finished(job_id=job_id))

    def requeue(self, job_id: str) -> list[Command]:
        return self.handle(events.Requeued(job_id=job_id))

    def cancel(self, job_id: str) -> list[Command]:
        return self.handle(events.Cancelled(job_id=job_id))

    def woken(self) -> list[Command]:
        return self.handle(events.Woken())

    def change(self, **limits: object) -> list[Command]:
        self.capacity = replace(self.capacity, **limits)  # type: ignore[arg-type]
        return self.handle(events.CapacityChanged(capacity=self.capacity))

    def drain(self) -> list[str]:
        """Finish whatever runs until nothing waits; returns all starts so far, in order."""
        while len(self.scheduler.books.queue):
            self.finish(next(job_id for job_id in self.started if job_id in self.scheduler.books.ledger))
        return self.started


@pytest.fixture
def a_core() -> Callable[..., Core]:
    """Build a core: a policy's name and knobs, and limits of the engine (else one slot, no KV limit)."""

    def build(policy: str = "fcfs", *, knobs: dict[str, object] | None = None, **limits: object) -> Core:
        settings = PolicySettings(name=policy, **(knobs or {}))  # type: ignore[arg-type]
        return Core(settings, replace(ROOMY, **limits))  # type: ignore[arg-type]

    return build
