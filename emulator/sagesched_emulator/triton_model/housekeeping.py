"""What the engine model does beside its iterations, in a thread of its own: cancels, metrics, the report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sagesched_emulator.engine_report import ReportWriter
from sagesched_emulator.triton_model.delivery import Delivery, Gauges
from sagesched_emulator.triton_model.metrics import EngineMetrics

PERIOD_S = 0.1
"""Wall seconds, as TensorRT-LLM's cancellation_check_period_ms has it."""

REPORT_EVERY_S = 1.0


class Housekeeping:
    """Runs until closed."""

    def __init__(
        self, delivery: Delivery, metrics: EngineMetrics, report: ReportWriter, stop: Callable[[str], None]
    ) -> None:
        """Start the thread.

        Args:
            delivery: the requests inside the engine.
            metrics: where gauges are shown.
            report: written each second.
            stop: ends the request of that engine id.
        """
        self._delivery = delivery
        self._metrics = metrics
        self._report = report
        self._stop = stop
        self._published: Gauges | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and bring the report up to date."""
        self._closing.set()
        self._thread.join()
        self._report.write()

    def _run(self) -> None:
        report_at = time.monotonic()
        while not self._closing.wait(PERIOD_S):
            self._stop_cancelled()
            self._publish()
            if time.monotonic() >= report_at:
                self._report.write()
                report_at = time.monotonic() + REPORT_EVERY_S

    def _stop_cancelled(self) -> None:
        """End requests whose client has gone. Triton only raises a flag, which has to be looked at."""
        for engine_id, entry in self._delivery.entries():
            with entry.lock:
                cancelled = not entry.closed and entry.sender.is_cancelled()
            if cancelled:
                self._stop(engine_id)

    def _publish(self) -> None:
        latest = self._delivery.latest
        if latest is not None and latest is not self._published:
            self._metrics.publish(latest.statistics, latest.context_tokens)
            self._published = latest
        lengths = self._delivery.finished_lengths
        for _ in range(len(lengths)):
            self._metrics.finished(*lengths.popleft())
