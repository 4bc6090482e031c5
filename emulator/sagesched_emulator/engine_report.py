"""What an emulated engine says of a run, and whether the run counts.

The engine model writes three files while it runs: a JSON object with the figures so far (replaced twice a
second), and beside it two JSONL files that only grow: `.samples.jsonl`, the gauges each 100 ms of engine
time, and `.requests.jsonl`, one line per request. `EngineReport.load` reads them together.

When a run counts. Iterations follow an absolute schedule, so lateness does not add up: a client sees a token
at most that much too late, and a slot that falls free may stay empty for that long, since whoever fills it
learns of it late. The second effect is the dangerous one: it is no longer the engine that is measured when
whole iterations pass in between. Hence an iteration counts as late when it ends more than one iteration plus
5 ms (what a busy scheduler of the operating system may take) after its time, and a run is valid while less
than 2 % of iterations are late and the 99th percentile of lateness stays below 50 ms, small against the
seconds that answers take. All of it in wall seconds: a slower time scale makes the same lateness matter less,
which is the remedy.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sagesched_emulator.iteration import EngineStatistics, Iteration

LATE_SLACK_S = 0.005
MAX_LATE_SHARE = 0.02
MAX_LATE_P99_S = 0.050
SAMPLE_EVERY_S = 0.1
"""Engine seconds between samples, as TensorRT-LLM's stats_check_period_ms has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSample:
    """The gauges at one instant.

    Attributes:
        t: engine seconds since the start.
        running: requests that the executor has taken up, scheduled or not (`active`).
        scheduled: requests in the running batch.
        queued: requests that wait inside the engine, taken up or not.
        paused: requests that lost their cache in the latest iteration.
        used_blocks: KV blocks held.
        free_blocks: KV blocks free.
    """

    t: float
    running: int
    scheduled: int
    queued: int
    paused: int
    used_blocks: int
    free_blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """What became of one request; instants in engine seconds since the start.

    Attributes:
        order: place in the order of submission, from 0.
        id: the caller's id, perhaps empty.
        submitted_at: when it reached the engine.
        first_scheduled_at: when its first prefill began; None when it was stopped before.
        queue_iterations: iterations that ran in between; None as above.
        finished_at: when its last token was due.
        prompt_tokens: prompt length.
        max_tokens: cap on output tokens.
        output_tokens: tokens generated.
        stopped: it ended by stop or cancel.
    """

    order: int
    id: str
    submitted_at: float
    first_scheduled_at: float | None
    queue_iterations: int | None
    finished_at: float
    prompt_tokens: int
    max_tokens: int
    output_tokens: int
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """Figures of a run so far.

    Attributes:
        iterations: iterations run.
        late_p50_s: median lateness of iterations, wall seconds.
        late_p99_s: 99th percentile.
        late_share: share of iterations later than one iteration + 5 ms.
        valid: whether times measured on this engine count, see the module.
        busy_s: engine seconds spent in iterations.
        span_s: engine seconds from the first iteration's begin to the latest one's end.
        busy_share: `busy_s / span_s`; 0 before anything ran.
        evictions: pauses for want of KV blocks.
        queue_wait_iterations_p50: iterations between submission and first prefill, median.
        queue_wait_iterations_p99: 99th percentile.
        mean_running: requests in the batch, averaged over the busy time.
        time_scale: wall seconds per engine second.
        started_unix_s: Unix time of engine second 0.
        samples: gauges each 100 ms of engine time in which iterations ran, and zeros where it fell idle.
        requests: those finished, in order of their end.
    """

    iterations: int
    late_p50_s: float
    late_p99_s: float
    late_share: float
    valid: bool
    busy_s: float
    span_s: float
    busy_share: float
    evictions: int
    queue_wait_iterations_p50: float
    queue_wait_iterations_p99: float
    mean_running: float
    time_scale: float
    started_unix_s: float
    samples: list[EngineSample] = field(default_factory=list, repr=False)
    requests: list[EngineRequest] = field(default_factory=list, repr=False)

    @classmethod
    def load(cls, path: Path) -> EngineReport:
        """Read what a `ReportWriter` has written.

        Raises:
            OSError: there is no report yet.
            ValueError: it is not a report.
        """
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {entry.name for entry in fields(cls)}
        if not isinstance(figures, dict) or set(figures) != known - {"samples", "requests"}:
            raise ValueError(f"{path} is not a report of an emulated engine")
        return cls(
            **figures,
            samples=[EngineSample(**line) for line in _lines(samples_path(path))],
            requests=[EngineRequest(**line) for line in _lines(requests_path(path))],
        )

    def why_invalid(self) -> str:
        """In words, empty for a valid run."""
        if self.valid:
            return ""
        return (
            f"{self.late_share:.1%} of the engine's iterations ended late (allowed {MAX_LATE_SHARE:.0%}), "
            f"p99 {self.late_p99_s * 1e3:.0f} ms (allowed {MAX_LATE_P99_S * 1e3:.0f} ms)"
        )


def samples_path(report: Path) -> Path:
    """Where the samples of that report are."""
    return report.with_suffix(".samples.jsonl")


def requests_path(report: Path) -> Path:
    """Where the requests of that report are."""
    return report.with_suffix(".requests.jsonl")


class Quantiles:
    """Quantiles of many durations in little memory: counts in bins 2 % wide, from 1 us up."""

    _LOWEST_S = 1e-6
    _WIDTH = math.log(1.02)

    def __init__(self) -> None:
        """Start empty."""
        self._counts: Counter[int] = Counter()

    def add(self, duration_s: float) -> None:
        """Count one duration, seconds."""
        place = 0
        if duration_s > self._LOWEST_S:
            place = math.ceil(math.log(duration_s / self._LOWEST_S) / self._WIDTH)
        self._counts[place] += 1

    def quantile(self, q: float) -> float:
        """The upper edge of the bin that holds the quantile; 0 when empty or below 1 us."""
        place = quantile(dict(self._counts), q)
        return self._LOWEST_S * math.exp(place * self._WIDTH) if place > 0 else 0.0


def quantile(counts: Mapping[int, int], q: float) -> int:
    """The smallest value that at least a share q of the counts does not exceed; 0 when there are none."""
    needed = q * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= needed - 1e-9:
            return value
    return 0


class ReportWriter:
    """Gathers figures in the engine's thread; `write` may be called by another."""

    def __init__(self, path: Path, time_scale: float) -> None:
        """Report to `path`; the clock starts now."""
        self._path = path
        self._time_scale = time_scale
        self._started_unix_s = time.time()
        self._lateness = Quantiles()
        self._num_late = 0
        self._num_iterations = 0
        self._queue_iterations: Counter[int] = Counter()
        self._busy_s = 0.0
        self._running_s = 0.0  # sum over iterations of batch size x seconds
        self._span: tuple[float, float] | None = None
        self._evictions = 0
        self._next_sample_at = 0.0
        self._new_samples: deque[dict[str, Any]] = deque()
        self._new_requests: deque[dict[str, Any]] = deque()

    def iteration(self, iteration: Iteration, late_s: float) -> None:
        """Count a finished iteration, and sample its gauges when it is time for that.

        Args:
            iteration: as the engine returned it; one that took no time is passed over.
            late_s: how late it ended, wall seconds.
        """
        duration_s = iteration.ended_at - iteration.started_at
        if duration_s <= 0:
            return
        statistics = iteration.statistics
        self._num_iterations += 1
        self._lateness.add(late_s)
        self._num_late += late_s > duration_s * self._time_scale + LATE_SLACK_S
        self._busy_s += duration_s
        self._running_s += duration_s * statistics.num_scheduled
        self._evictions = statistics.evictions
        self._span = (self._span[0] if self._span else iteration.started_at, iteration.ended_at)
        if iteration.ended_at >= self._next_sample_at:
            self._next_sample_at = iteration.ended_at + SAMPLE_EVERY_S
            self._new_samples.append(_sample(iteration.ended_at, statistics))

    def idle(self, at: float, max_blocks: int) -> None:
        """Note that the engine has fallen idle, so that the last gauges are not taken for lasting."""
        self._new_samples.append(_idle_sample(at, max_blocks))

    def started(self, wait_iterations: int) -> None:
        """Count a request's wait in the engine's queue."""
        self._queue_iterations[wait_iterations] += 1

    def finished(self, request: EngineRequest) -> None:
        """Record a request that has left the engine."""
        self._new_requests.append({entry.name: getattr(request, entry.name) for entry in fields(request)})

    def write(self) -> None:
        """Bring the files up to date."""
        _append(samples_path(self._path), self._new_samples)
        _append(requests_path(self._path), self._new_requests)
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self._figures()), encoding="utf-8")
        os.replace(unfinished, self._path)

    def _figures(self) -> dict[str, Any]:
        span_s = self._span[1] - self._span[0] if self._span else 0.0
        queue_iterations = dict(self._queue_iterations)
        late_share = self._num_late / self._num_iterations if self._num_iterations else 0.0
        late_p99_s = self._lateness.quantile(0.99)
        return {
            "iterations": self._num_iterations,
            "late_p50_s": self._lateness.quantile(0.5),
            "late_p99_s": late_p99_s,
            "late_share": late_share,
            "valid": late_share < MAX_LATE_SHARE and late_p99_s < MAX_LATE_P99_S,
            "busy_s": self._busy_s,
            "span_s": span_s,
            "busy_share": self._busy_s / span_s if span_s > 0 else 0.0,
            "evictions": self._evictions,
            "queue_wait_iterations_p50": quantile(queue_iterations, 0.5),
            "queue_wait_iterations_p99": quantile(queue_iterations, 0.99),
            "mean_running": self._running_s / self._busy_s if self._busy_s > 0 else 0.0,
            "time_scale": self._time_scale,
            "started_unix_s": self._started_unix_s,
        }


def _sample(at: float, statistics: EngineStatistics) -> dict[str, Any]:
    return {
        "t": round(at, 6),
        "running": statistics.num_active,
        "scheduled": statistics.num_scheduled,
        "queued": statistics.num_active + statistics.num_queued - statistics.num_scheduled,
        "paused": statistics.num_paused,
        "used_blocks": statistics.used_blocks,
        "free_blocks": statistics.free_blocks,
    }


def _idle_sample(at: float, max_blocks: int) -> dict[str, Any]:
    empty = dict.fromkeys(("running", "scheduled", "queued", "paused", "used_blocks"), 0)
    return {"t": round(at, 6), **empty, "free_blocks": max_blocks}


def _append(path: Path, lines: deque[dict[str, Any]]) -> None:
    """Write what is waiting; more may be added meanwhile by the engine's thread."""
    waiting = [lines.popleft() for _ in range(len(lines))]
    with path.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(line) + "\n" for line in waiting)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a file that may still be growing."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
