"""What the engine model does beside its iterations, in a thread of its own: cancels, metrics, the report."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable

from sagesched_emulator.engine_report import ReportWriter
from sagesched_emulator.triton_model.delivery import Delivery, Gauges
from sagesched_emulator.triton_model.metrics import EngineMetrics

CANCEL_CHECK_S = 0.1
"""Wall seconds, TensorRT-LLM's cancellation_check_period_ms: clients live in wall time."""

STATISTICS_S = 0.1
"""Engine seconds, TensorRT-LLM's stats_check_period_ms."""

REPORT_S = 0.5
SHORTEST_PERIOD_S = 0.02
"""However fast the engine's time runs, the metrics are not set more often than this."""


class Recurring:
    """Says when it is time again. PURE."""

    def __init__(self, period_s: float) -> None:
        """Due at once, then each `period_s` seconds."""
        self.period_s = period_s
        self._due_at = -math.inf

    def due(self, now: float) -> bool:
        """Whether it is time; True counts as done."""
        if now < self._due_at:
            return False
        self._due_at = now + self.period_s
        return True


class Housekeeping:
    """Runs until closed."""

    def __init__(
        self,
        delivery: Delivery,
        metrics: EngineMetrics | None,
        report: ReportWriter,
        stop: Callable[[str], None],
        time_scale: float,
    ) -> None:
        """Start the thread.

        Args:
            delivery: the requests inside the engine.
            metrics: where gauges are shown; None where the backend has none.
            report: written twice a second.
            stop: ends the request of that engine id.
            time_scale: wall seconds per engine second.
        """
        self._delivery = delivery
        self._metrics = metrics
        self._report = report
        self._stop = stop
        self._statistics_s = max(SHORTEST_PERIOD_S, STATISTICS_S * time_scale)
        self._published: Gauges | None = None
        self._is_report_lost = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and bring the report up to date."""
        self._closing.set()
        self._thread.join()
        self._write_report()

    def _run(self) -> None:
        cancels, statistics = Recurring(CANCEL_CHECK_S), Recurring(self._statistics_s)
        reports = Recurring(REPORT_S)
        while not self._closing.wait(min(cancels.period_s, statistics.period_s)):
            now = time.monotonic()
            if cancels.due(now):
                self._stop_cancelled()
            if statistics.due(now):
                self._publish()
            if reports.due(now):
                self._write_report()

    def _write_report(self) -> None:
        """A full disk, or a folder that is gone, is no reason to leave cancels and metrics undone."""
        try:
            self._report.write()
        except OSError as error:
            if not self._is_report_lost:
                self._is_report_lost = True
                print(
                    f"sagesched: the engine's report cannot be written: {error}", file=sys.stderr, flush=True
                )

    def _stop_cancelled(self) -> None:
        """End requests whose client has gone. Triton only raises a flag, which has to be looked at."""
        for engine_id, entry in self._delivery.entries():
            with entry.lock:
                cancelled = not entry.closed and entry.sender.is_cancelled()
            if cancelled:
                self._stop(engine_id)

    def _publish(self) -> None:
        if self._metrics is None:
            return
        latest = self._delivery.latest
        if latest is not None and latest is not self._published:
            self._metrics.publish(latest.statistics, latest.context_tokens)
            self._published = latest
        lengths = self._delivery.finished_lengths
        for _ in range(len(lengths)):
            self._metrics.finished(*lengths.popleft())
