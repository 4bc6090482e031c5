"""The predictor's child process: `python -m sagesched_predictor.worker`, one JSON per line in and out.

It may crash, hang or run out of memory: that costs order, never a request. No call waits for it. Each
prediction has a deadline; after it the request is counted as unpredicted (an answer that still comes is used,
as long as the request waits). A process that dies, or stays silent for several deadlines while it owes
answers, is started again, with a pause that doubles up to half a minute.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import dataclass
from typing import Any

from sagesched_gateway.dispatch.ports import Prediction, PredictionListener, PredictorState
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.features import Outcome, PromptFeatures

_LOG = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 60.0
"""A process that lived so long starts again without a longer pause."""

MOST_OWED = 4096
"""With more answers outstanding nothing is asked: a burst must not fill the pipe with prompts."""

HANG_DEADLINES = 4.0
"""Silence of so many deadlines is a hang; fewer may be a busy machine, and a killed process forgets."""

START_S = 120.0
"""How long a process may take until it is ready (a GPU provider loads libraries first)."""

_LINE_LIMIT = 2**20
_CLOSE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How the child process is started.

    Attributes:
        settings: given to the worker as JSON.
        timeout_s: deadline of a prediction.
        mode: the predictor mode, as shown in status.
        history_size: most records the worker keeps, for the count shown in status.
        command: program and arguments before `--settings`.
    """

    settings: dict[str, Any]
    timeout_s: float = 5.0
    mode: str = "HistoryOnly"
    history_size: int = 10_000
    command: tuple[str, ...] = (sys.executable, "-m", "sagesched_predictor.worker")


class PredictionProcess:
    """Speaks with the worker and keeps it alive; see `LengthPredictor`."""

    is_on = True

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._listener: PredictionListener | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._owed: dict[str, float] = {}  # id -> asked at, oldest first
        self._silent_since: float | None = None  # the oldest question since it last spoke
        self._is_ready = False
        self._restarts = 0
        self._provider: str | None = None
        self._fallback: str | None = None
        self._history = 0
        self._problem = ""
        self._last_words = ""  # of a process that never became ready

    def listen(self, listener: PredictionListener) -> None:
        """See `LengthPredictor.listen`."""
        self._listener = listener

    async def start(self) -> None:
        """Start the process; does not wait until it is ready."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End the process."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._end_process()

    def predict(self, request_id: str, features: PromptFeatures) -> None:
        """See `LengthPredictor.predict`."""
        if self._process is None:
            self._failed(request_id, "down")
        elif len(self._owed) >= MOST_OWED:
            self._failed(request_id, "overload")
        else:
            now = asyncio.get_running_loop().time()
            self._owed[request_id] = now
            if self._silent_since is None:
                self._silent_since = now
            self._say({"op": "predict", "id": request_id, **_fields(features)})

    def observe(self, request_id: str, features: PromptFeatures, outcome: Outcome) -> None:
        """See `LengthPredictor.observe`."""
        if self._process is None:
            return
        learned = {"output_tokens": outcome.output_tokens, "censored": outcome.censored}
        if not outcome.censored:
            self._history = min(self._history + 1, self._options.history_size)
        self._say({"op": "observe", "id": request_id, **_fields(features), **learned})

    def state(self) -> PredictorState:
        """See `LengthPredictor.state`."""
        not_ready = "restarting" if self._restarts else "starting"
        return PredictorState(
            mode=self._options.mode,
            state="ready" if self._is_ready else not_ready,
            provider=self._provider,
            fallback=self._fallback,
            history=self._history,
            problem=self._problem or self._last_words,
            restarts=self._restarts,
        )

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            started_at = loop.time()
            reason = await self._run_once()
            self._last_words = "" if self._is_ready else self._problem or f"the predictor {reason}"
            self._forget_process()
            if loop.time() - started_at >= HEALTHY_S:
                pause_s = FIRST_PAUSE_S
            _LOG.warning(
                "predictor: %s; started again in %.1f s, order falls back meanwhile", reason, pause_s
            )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._restarts += 1

    async def _run_once(self) -> str:
        """Start the process and listen to it until it is gone; returns why it is."""
        command = (*self._options.command, "--settings", json.dumps(self._options.settings))
        try:
            # A session of its own: Ctrl-C in a terminal is for the gateway, which drains first.
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be started ({error})"
        watchdog = asyncio.create_task(self._watch(self._process))
        try:
            await self._listen_to(self._process)
            code = await self._process.wait()
        finally:
            watchdog.cancel()
        return f"exited with code {code}"

    async def _listen_to(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await _line_of(process.stdout):
            self._silent_since = None
            try:
                self._heard(json.loads(line))
            except Exception as error:  # whatever it says, somebody must go on listening
                _LOG.warning("predictor: cannot use its line (%s): %.200r", error, line)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Count answers that are late, kill a process that is silent."""
        loop = asyncio.get_running_loop()
        timeout_s = self._options.timeout_s
        while True:
            await asyncio.sleep(min(timeout_s / 4, 1.0))
            now = loop.time()
            self._drop_late(now - timeout_s)
            patience_s = HANG_DEADLINES * timeout_s if self._is_ready else START_S
            if self._silent_since is not None and now - self._silent_since > patience_s:
                _LOG.warning("predictor: silent for %.1f s; killed", now - self._silent_since)
                process.kill()
                return

    def _drop_late(self, asked_before: float) -> None:
        while self._owed:
            request_id, asked_at = next(iter(self._owed.items()))
            if asked_at > asked_before:
                return
            del self._owed[request_id]
            self._failed(request_id, "timeout")

    def _heard(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "prediction":
                self._heard_prediction(message)
            case "pool":
                self._tell_pool(message["pairs"])
            case "note":
                self._problem = str(message["message"])
                _LOG.warning("predictor: %s", self._problem)
            case "ready":
                self._heard_ready(message)
            case "error":
                request_id = message.get("id") or ""
                if self._owed.pop(request_id, None) is not None:
                    self._failed(request_id, "error")
                _LOG.warning("predictor: %s", message["message"])
            case unknown:
                _LOG.warning("predictor: says %r, which means nothing here", unknown)

    def _heard_prediction(self, message: dict[str, Any]) -> None:
        request_id, pairs = message["id"], message["pairs"]
        asked_at = self._owed.get(request_id)
        now = asyncio.get_running_loop().time()
        prediction = Prediction(
            distribution=LengthDistribution.from_pairs(pairs) if pairs else None,
            source=str(message["source"]),
            neighbours=int(message["neighbours"]),
            seconds=now - asked_at if asked_at is not None else float(message["seconds"]),
        )
        self._owed.pop(request_id, None)  # only now: what makes no sense is still owed
        if self._listener is not None:
            self._listener.predicted(request_id, prediction)

    def _heard_ready(self, message: dict[str, Any]) -> None:
        self._is_ready = True
        self._last_words = ""
        self._provider = message["provider"]
        self._fallback = message["fallback"]
        self._history = int(message["history"])
        if self._fallback:
            _LOG.warning("predictor: runs on %s instead: %s", self._provider, self._fallback)
        if message["pool"]:
            self._tell_pool(message["pool"])

    def _tell_pool(self, pairs: list[tuple[float, float]]) -> None:
        if self._listener is not None:
            self._listener.pool_changed(LengthDistribution.from_pairs(pairs))

    def _say(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            line = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
            process.stdin.write(line.encode("utf-8", "replace") + b"\n")

    def _failed(self, request_id: str, reason: str) -> None:
        if self._listener is not None:
            self._listener.prediction_failed(request_id, reason)

    def _forget_process(self) -> None:
        self._process = None
        self._is_ready = False
        self._problem = ""
        self._silent_since = None
        owed, self._owed = self._owed, {}
        for request_id in owed:
            self._failed(request_id, "down")

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()  # the worker ends with its input
        try:
            async with asyncio.timeout(_CLOSE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class NoPrediction:
    """Mode `None`: every request keeps what is assumed without a prediction."""

    is_on = False

    def listen(self, listener: PredictionListener) -> None:
        """Nobody will be told anything."""

    def predict(self, request_id: str, features: PromptFeatures) -> None:
        """Do nothing."""

    def observe(self, request_id: str, features: PromptFeatures, outcome: Outcome) -> None:
        """Do nothing."""

    def state(self) -> PredictorState:
        """Off."""
        return PredictorState(mode="None", state="off")

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


async def _line_of(stdout: asyncio.StreamReader) -> bytes:
    """The next line; nothing at the end."""
    try:
        return await stdout.readline()
    except ValueError:  # longer than `_LINE_LIMIT`, and gone
        return b"too long\n"


def _fields(features: PromptFeatures) -> dict[str, Any]:
    return {
        "prompt": features.prompt,
        "prompt_tokens": features.prompt_tokens,
        "max_tokens": features.max_tokens,
        "model": features.model,
        "temperature": features.temperature,
        "top_p": features.top_p,
        "system_prompt": features.system_prompt,
        "has_tools": features.has_tools,
        "wants_json": features.wants_json,
        "thinking": features.thinking,
        "tenant": features.tenant,
    }
