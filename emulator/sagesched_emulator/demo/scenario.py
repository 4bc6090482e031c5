"""`Scenario`: what a demo sends to what, made ready."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sagesched_emulator.demo.trial import TrialPlan
from sagesched_emulator.load import LoadRequest
from sagesched_emulator.trace import Trace, TraceRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Ready to run.

    Attributes:
        plan: what all runs have in common.
        trace: the summary's `trace`, but for what is known only after the runs.
        subtitle: one line for table and picture: what is sent to what.
        notes: sentences that a reader of the figures must know.
        drawn: the trace with the true lengths; None where nobody knows them.
    """

    plan: TrialPlan
    trace: dict[str, object]
    subtitle: str
    notes: tuple[str, ...] = ()
    drawn: Trace | None = None


def client_view(requests: Iterable[TraceRequest]) -> tuple[LoadRequest, ...]:
    """The trace without the true lengths: all that client and gateway get."""
    return tuple(
        LoadRequest(
            id=request.id, prompt=request.prompt, max_tokens=request.max_tokens, arrival_s=request.arrival_s
        )
        for request in requests
    )
