"""`EmulatedTriton`: a fresh tritonserver with an emulated engine for one run, and what its report says."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Self

from sagesched_emulator.demo.errors import StartError
from sagesched_emulator.demo.gateway_process import TritonAddresses
from sagesched_emulator.demo.queue_watch import time_average
from sagesched_emulator.demo.stand import EngineSeen
from sagesched_emulator.engine_report import MAX_LATE_SHARE, EngineReport
from sagesched_emulator.triton_install import TritonInstallError
from sagesched_emulator.triton_server import TritonServer, TritonServerError

PRIMING_REQUESTS = 3
PRIMING_TIMEOUT_S = 30.0
ENOUGH_ITERATIONS = 1500
"""Some ten seconds: start-up noise is over, and most of the run's time can still be saved."""


class EmulatedTriton:
    """A tritonserver of its own, primed: the first requests through fresh backends take their time."""

    def __init__(
        self,
        *,
        profile: str,
        time_scale: float,
        stream_interval: int,
        answers: Path,
        model: str,
        folder: Path,
    ) -> None:
        """Prepare a start.

        Args:
            profile: the emulated engine.
            time_scale: wall seconds per engine second.
            stream_interval: each so many-th token is streamed.
            answers: true output lengths, for the engine only.
            model: name of the text model.
            folder: where the log goes.
        """
        self._model = model
        self._log_path = folder / "triton.log"
        self._server = TritonServer(
            profile=profile,
            time_scale=time_scale,
            stream_interval=stream_interval,
            answers=answers,
            log_path=self._log_path,
            report_path=folder / "engine.json",
        )

    @property
    def addresses(self) -> TritonAddresses:
        """Where it listens; inside the context only."""
        return TritonAddresses(
            grpc=self._server.grpc_address,
            http=self._server.http_address,
            metrics=self._server.metrics_address,
        )

    def seen(self, started_at: float, ended_at: float) -> EngineSeen:
        """The engine's report, cut to the window (Unix seconds)."""
        return engine_seen(self._server.report(), started_at, ended_at)

    def hopeless(self) -> str:
        """Why the run will not count: twice as many iterations late as may be, after enough of them."""
        try:
            report = self._server.report()
        except TritonServerError:  # none yet
            return ""
        if report.iterations < ENOUGH_ITERATIONS or report.late_share < 2 * MAX_LATE_SHARE:
            return ""
        return report.why_invalid()

    def __enter__(self) -> Self:
        try:
            self._server.__enter__()
        except (TritonInstallError, TritonServerError) as error:
            reason = str(error).splitlines()[0].rstrip(":")
            raise StartError(f"{reason}; its log: {self._log_path}") from error
        try:
            for _ in range(PRIMING_REQUESTS):
                self._prime()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__(None, None, None)

    def _prime(self) -> None:
        """One short answer over HTTP, so that this process needs no gRPC."""
        url = f"http://{self._server.http_address}/v2/models/{self._model}/generate_stream"
        body = {"text_input": "Hello.", "max_tokens": 2, "stream": True}
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PRIMING_TIMEOUT_S) as answer:
                answer.read()
        except OSError as error:
            raise StartError(f"the emulated Triton does not answer: {error}") from error


def engine_seen(report: EngineReport, started_at: float, ended_at: float) -> EngineSeen:
    """What a report says of the window from `started_at` to `ended_at` (Unix seconds). PURE."""
    scale = report.time_scale
    queued = [(report.started_unix_s + sample.t * scale, float(sample.queued)) for sample in report.samples]
    window_s = max(ended_at - started_at, 1e-9) / scale
    return EngineSeen(
        mean_queue=time_average(queued, started_at, ended_at),
        busy=min(1.0, report.busy_s / window_s),
        report=report,
    )
