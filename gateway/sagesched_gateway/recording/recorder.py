"""`FileRecorder`: dispatch's `Recorder`, writing in a thread so that no disk ever holds up a token.

What is to be written waits in a bounded queue; what does not fit is dropped and counted, as is what cannot be
written. The first failure is logged, then the first success after it; serving goes on whatever happens.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sagesched_gateway.dispatch.ports import RequestRecord
from sagesched_gateway.recording.line import LineWriter
from sagesched_gateway.recording.rotating_file import RotatingFile
from sagesched_gateway.settings.sections.recorder import RecorderConfig

_LOG = logging.getLogger(__name__)

MAX_WAITING_RECORDS = 10_000
MAX_WAITING_CHARACTERS = 64 * 2**20
"""Of prompts, those of the system included, that wait to be written."""

_BATCH = 256
_CLOSE_WITHIN_S = 5.0


class FileRecorder:
    """Records to the configured file."""

    def __init__(self, config: RecorderConfig, count: Callable[[str, int], None]) -> None:
        """Prepare.

        Args:
            config: with a file.
            count: hears how many records were `written`, `dropped` or `failed`; called in any thread.
        """
        assert config.file is not None, "recording is on"
        self._path = Path(config.file)
        self._prompts = config.prompts
        self._lines = LineWriter(config.prompts)
        self._file = RotatingFile(self._path, max_bytes=config.max_bytes, files=config.files)
        self._count = count
        self._queue: queue.SimpleQueue[RequestRecord | None] = queue.SimpleQueue()
        # Each is written by one thread only, so no lock is needed: what came, and what was taken out.
        self._came = self._came_characters = 0
        self._taken = self._taken_characters = 0
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def record(self, record: RequestRecord) -> None:
        """See `Recorder.record`."""
        record = self._without_unused_texts(record)
        waiting = self._came - self._taken
        waiting_characters = self._came_characters - self._taken_characters + _characters(record)
        # A single prompt is taken however long it is: limits.messageBytes bounds it.
        if waiting >= MAX_WAITING_RECORDS or (waiting and waiting_characters > MAX_WAITING_CHARACTERS):
            self._count("dropped", 1)
            return
        self._came += 1
        self._came_characters += _characters(record)
        self._queue.put(record)

    def _without_unused_texts(self, record: RequestRecord) -> RequestRecord:
        """Let go of them now, not when the rest is written; the features' prompt is the record's."""
        features = record.features
        if features is not None:
            system_prompt = features.system_prompt if self._prompts == "Keep" else ""
            features = replace(features, prompt="", system_prompt=system_prompt)
        prompt = "" if self._prompts == "Drop" else record.prompt
        return replace(record, prompt=prompt, features=features)

    async def close(self) -> None:
        """Write what waits and end, within a few seconds."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, _CLOSE_WITHIN_S)
        if self._thread.is_alive():
            _LOG.warning("recorder: %d records not written", self._came - self._taken)

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            is_open = None not in batch
            self._write([record for record in batch if record is not None])
        self._file.close()

    def _write(self, batch: list[RequestRecord]) -> None:
        try:
            self._file.write([self._lines.line(record) for record in batch])
        except Exception as error:  # whatever it is, it may not end the thread
            self._count("failed", len(batch))
            if not self._is_failing:
                _LOG.error("recorder: %s: not written, requests are served on: %s", self._path, error)
            self._is_failing = True
        else:
            self._count("written", len(batch))
            if self._is_failing:
                _LOG.info("recorder: %s: is written again", self._path)
            self._is_failing = False
        self._taken += len(batch)
        self._taken_characters += sum(map(_characters, batch))


def _characters(record: RequestRecord) -> int:
    return len(record.prompt) + (len(record.features.system_prompt) if record.features else 0)
