"""The worker's loop: lines in, lines out, whatever is waiting answered together.

A reader thread moves lines to a queue, so that prompts which arrive while the encoder runs share its next
run. A line that makes no sense is answered with an error and nothing else happens. The messages are in
`messages.py`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TextIO

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.device_search import search_on_device
from sagesched_predictor.encoder import MAX_BATCH, Encoder, EncoderOptions
from sagesched_predictor.errors import PredictorError, SnapshotError
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.keeping import SAVE_EVERY_S, Keeper, Keeping
from sagesched_predictor.messages import (
    MessageError,
    Observe,
    Predict,
    error_line,
    note_line,
    parse_line,
    pool_line,
    prediction_line,
    ready_line,
)
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.shipped_folder import shipped_folder
from sagesched_predictor.snapshot import load_history
from sagesched_predictor.worker_settings import WorkerSettings

# With more lines waiting than this the encoder cannot keep up; answers are then pool-wide until it can.
MAX_WAITING = 1024


def serve(
    settings: WorkerSettings,
    source: BinaryIO,
    answers: TextIO,
    when_ready: Callable[[], object] = lambda: None,
) -> None:
    """Start the predictor, say `ready`, call `when_ready`, answer lines until `source` ends.

    Raises:
        PredictorError: the predictor cannot be used.
    """
    artifact = EncoderArtifact.load(settings.encoder or shipped_folder(settings.device))
    options = EncoderOptions(settings.device, settings.threads, settings.max_prompt_tokens)
    encoder = Encoder(artifact, options)
    prior = load_prior(artifact) if settings.prior else None
    history = History(encoder.dimension, size=settings.history_size, min_similarity=settings.min_similarity)
    keeper = Keeper(history, Keeping(settings.snapshot, settings.retention_days), encoder.fingerprint)
    problems = keeper.restore()
    if settings.history_file is not None and not len(history):
        problems += _warmed(history, settings.history_file, encoder.fingerprint)
    fits = ThreadPoolExecutor(1, thread_name_prefix="fit")
    predictor = Predictor(
        encoder, history, prior, search=search_on_device(encoder, problems.append), start_fit=fits.submit
    )
    service = Service(predictor, answers)
    for problem in problems:
        service.say(note_line(problem))
    service.say(
        ready_line(
            encoder.provider,
            encoder.fallback,
            len(history),
            service.first_pool(),
            has_prior=prior is not None,
        )
    )
    when_ready()
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(source, waiting), name="stdin", daemon=True).start()
    while (lines := _waiting_lines(waiting)) is not None:
        service.handle(lines, overloaded=waiting.qsize() > MAX_WAITING)
        _told(service, keeper.save_if_due())
    # Saved before a fit is waited for: a gateway that ends does not wait long.
    _told(service, keeper.save())
    fits.shutdown(cancel_futures=True)


def _warmed(history: History, file: Path, fingerprint: str) -> list[str]:
    try:
        load_history(history, file, fingerprint)
    except SnapshotError as error:
        return [f"{error}; starting without it"]
    return []


def _told(service: Service, problem: str | None) -> None:
    if problem is not None:
        service.say(note_line(problem))


def _read(source: Iterable[bytes], waiting: queue.SimpleQueue[bytes | None]) -> None:
    for line in source:
        waiting.put(line)
    waiting.put(None)


def _waiting_lines(waiting: queue.SimpleQueue[bytes | None]) -> list[bytes] | None:
    """Wait for a line, then take those that are there, up to one encoder batch; None at the end of input.

    There are none after a while, since what is kept has to be seen to though nobody asks for anything.
    """
    lines: list[bytes] = []
    try:
        line = waiting.get(timeout=SAVE_EVERY_S)
    except queue.Empty:
        return lines
    while line is not None:
        lines.append(line)
        if len(lines) == MAX_BATCH:
            return lines
        try:
            line = waiting.get_nowait()
        except queue.Empty:
            return lines
    waiting.put(None)  # seen again by the next call
    return lines or None


class Service:
    """Answers groups of lines."""

    def __init__(self, predictor: Predictor, answers: TextIO) -> None:
        """Answer from `predictor`, to `answers`."""
        self._predictor = predictor
        self._answers = answers

    def first_pool(self) -> list[tuple[float, float]] | None:
        """Atoms of the pool-wide distribution of the model that was seen first, at start."""
        for model in self._predictor.models:
            news = self._predictor.pool(model).news()
            if news is not None:
                return news.to_pairs()
        return None

    def handle(self, lines: list[bytes], *, overloaded: bool = False) -> None:
        """Answer a group of lines: predictions first, since somebody waits for them, then observations."""
        messages: list[Predict | Observe] = []
        for line in lines:
            try:
                messages.append(parse_line(line))
            except MessageError as error:
                self.say(error_line(error.request_id, str(error)))
        predicts = [message for message in messages if isinstance(message, Predict)]
        if predicts:
            self._predict(predicts, overloaded)
        observes = [message for message in messages if isinstance(message, Observe)]
        if observes:
            self._observe(observes, overloaded)

    def _predict(self, messages: list[Predict], overloaded: bool) -> None:
        started_at = time.perf_counter()
        try:
            if overloaded:
                predictions = [self._predictor.predict_unseen(message.features) for message in messages]
            else:
                predictions = self._predictor.predict([message.features for message in messages])
        except PredictorError as error:
            for message in messages:
                self.say(error_line(message.request_id, str(error)))
            return
        seconds = time.perf_counter() - started_at
        for message, prediction in zip(messages, predictions, strict=True):
            self.say(prediction_line(message.request_id, prediction, seconds))

    def _observe(self, messages: list[Observe], overloaded: bool) -> None:
        try:
            if not overloaded:
                self._predictor.remember([message.features.prompt for message in messages])
            for message in messages:
                if self._predictor.remembers(message.features.prompt):
                    self._predictor.observe(message.features, message.outcome)
                else:
                    self._predictor.observe_length(message.features.model, message.outcome)
        except PredictorError as error:
            for message in messages:
                self.say(error_line(message.request_id, str(error)))
            return
        for model in dict.fromkeys(message.features.model for message in messages):
            news = self._predictor.pool(model).news()
            if news is not None:
                self.say(pool_line(model, news))

    def say(self, line: str) -> None:
        """Write one line and hand it over at once."""
        self._answers.write(line + "\n")
        self._answers.flush()
