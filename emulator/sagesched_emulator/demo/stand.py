"""`Stand`: the Triton that a run measures, a fresh emulated one or the user's; what its engine says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self

from sagesched_emulator.demo.gateway_process import TritonAddresses
from sagesched_emulator.engine_report import EngineReport


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSeen:
    """What an emulated engine reports of one run.

    Attributes:
        mean_queue: requests waiting inside the engine, averaged over the run.
        busy: share of the run in which iterations ran.
        report: the whole report.
    """

    mean_queue: float
    busy: float
    report: EngineReport = field(repr=False)


class Stand(Protocol):
    """A Triton for one run, as a context manager."""

    @property
    def addresses(self) -> TritonAddresses:
        """Where it listens."""
        ...

    def seen(self, started_at: float, ended_at: float) -> EngineSeen | None:
        """What its engine says of the window (Unix seconds); None where it cannot be asked."""
        ...

    def hopeless(self) -> str:
        """Why the run under way will not count, in words, where that is already clear; else empty."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
