"""From the engine's emissions to Triton responses, in the engine's thread."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import triton_python_backend_utils as pb_utils

from sagesched_emulator.engine_report import EngineRequest, ReportWriter
from sagesched_emulator.iteration import Emission, EngineStatistics
from sagesched_emulator.triton_model.contract import Contract
from sagesched_emulator.triton_model.generation import Generation
from sagesched_emulator.wall_clock import Tick


@dataclass(slots=True)
class Open:
    """A generation and the way back to its client.

    Attributes:
        generation: the request.
        sender: Triton's response sender.
        lock: held to send the final response and to ask whether the client is gone, never both at once.
        closed: the final response is out; the sender must not be used any more.
    """

    generation: Generation
    sender: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Gauges:
    """What the metrics are to show: an iteration's statistics and the prompt tokens it prefilled."""

    statistics: EngineStatistics
    context_tokens: int


class Delivery:
    """The requests inside the engine, by engine id, and what is sent for them.

    Attributes:
        latest: gauges of the latest iteration.
        finished_lengths: (prompt, output) tokens of finished requests, for whoever counts them.
    """

    def __init__(self, contract: Contract, report: ReportWriter) -> None:
        """Start with no request."""
        self.latest: Gauges | None = None
        self.finished_lengths: deque[tuple[int, int]] = deque()
        self._contract = contract
        self._report = report
        self._open: dict[str, Open] = {}
        self._context_tokens = 0  # prefilled by the iteration that runs now

    def open(self, engine_id: str, entry: Open) -> None:
        """Expect emissions under that id."""
        self._open[engine_id] = entry

    def entries(self) -> list[tuple[str, Open]]:
        """All requests inside the engine."""
        return list(self._open.items())

    def on_tick(self, tick: Tick, late_s: float) -> None:
        """Send what an iteration brought; called by the engine's loop."""
        for engine_id, reason in tick.refused:
            self._refuse(engine_id, reason)
        if tick.finished is not None:
            for emission in tick.finished.emissions:
                self._emit(emission, tick.finished.ended_at)
            self._report.iteration(tick.finished, late_s)
            self.latest = Gauges(tick.finished.statistics, self._context_tokens)
            if tick.due_at is None:
                self._report.idle(tick.finished.ended_at, tick.finished.statistics.max_blocks)
        self._context_tokens = 0
        for started in tick.started:
            generation = self._open[started.request_id].generation
            generation.first_scheduled_at = generation.submitted_at + started.wait_s
            generation.queue_iterations = started.wait_iterations
            self._context_tokens += generation.prompt_tokens
            self._report.started(started.wait_iterations)

    def _refuse(self, engine_id: str, reason: str) -> None:
        entry = self._open.pop(engine_id)
        message = f"Executor failed process requestId {engine_id} due to the following error: {reason}"
        self._close(entry, pb_utils.InferenceResponse([], pb_utils.TritonError(message)))

    def _emit(self, emission: Emission, at: float) -> None:
        entry = self._open[emission.request_id]
        generation = entry.generation
        if emission.first:
            generation.first_token_at = at
        response = self._contract.answer(generation, emission, at)
        if response is None:
            return
        if not emission.final:
            entry.sender.send(response)
            return
        del self._open[emission.request_id]
        self._close(entry, response)
        self._record(generation, emission, at)

    def _close(self, entry: Open, response: Any) -> None:
        with entry.lock:
            entry.closed = True
            entry.sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _record(self, generation: Generation, emission: Emission, at: float) -> None:
        self.finished_lengths.append((generation.prompt_tokens, emission.total_tokens))
        self._report.finished(
            EngineRequest(
                order=generation.order,
                id=generation.client_id,
                submitted_at=generation.submitted_at,
                first_scheduled_at=generation.first_scheduled_at,
                queue_iterations=generation.queue_iterations,
                finished_at=at,
                prompt_tokens=generation.prompt_tokens,
                max_tokens=generation.tensors.max_tokens,
                output_tokens=emission.total_tokens,
                stopped=emission.stopped,
            )
        )
