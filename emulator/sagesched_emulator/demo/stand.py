"""`Stand`: the Triton that a run measures, a fresh emulated one or the user's; what its engine says. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from sagesched_emulator.demo.gateway_process import TritonAddresses


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSeen:
    """What an emulated engine reports of one run.

    Attributes:
        mean_queue: requests waiting inside the engine, averaged over the run.
        busy: share of the run in which iterations ran.
        starved: why its times cannot be trusted, in words; empty when they can.
        late_p99_s: how late iterations ended, 99th percentile, wall seconds.
        evictions: requests evicted when KV overflowed.
        queue_wait_iterations_p99: iterations that requests waited inside the engine, 99th percentile.
        mean_running: requests in the running batch, averaged over the iterations.
        samples: (Unix time, running, queued) about each 100 ms.
    """

    mean_queue: float
    busy: float
    starved: str
    late_p99_s: float
    evictions: int
    queue_wait_iterations_p99: float
    mean_running: float
    samples: tuple[tuple[float, float, float], ...] = ()


class Stand(Protocol):
    """A Triton for one run, as a context manager."""

    @property
    def addresses(self) -> TritonAddresses:
        """Where it listens."""
        ...

    def seen(self, started_at: float, ended_at: float) -> EngineSeen | None:
        """What its engine says of the window (Unix seconds); None where it cannot be asked."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
