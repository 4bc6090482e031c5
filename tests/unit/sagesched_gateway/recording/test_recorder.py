"""Recording never waits, never raises, and accounts for every record."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import Counter

import pytest

from sagesched_gateway.dispatch.ports import Recorder
from sagesched_gateway.recording import recorder as module
from sagesched_gateway.recording.recorder import FileRecorder
from sagesched_gateway.settings.sections.recorder import RecorderConfig
from sagesched_predictor.features import PromptFeatures


@pytest.fixture
def counts():
    return Counter()


@pytest.fixture
def recorder_for(tmp_path, counts):
    def count(result, records):
        counts[result] += records

    def make(file=tmp_path / "log.jsonl", **changes):
        return FileRecorder(RecorderConfig(file=str(file), **changes), count)

    return make


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_records_are_written_in_order(recorder_for, counts, a_record, tmp_path):
    recorder = recorder_for()
    port: Recorder = recorder
    recorder.start()
    for number in range(1000):
        port.record(a_record(id=str(number)))
    await recorder.close()
    assert [line["id"] for line in lines_of(tmp_path / "log.jsonl")] == [str(n) for n in range(1000)]
    assert counts == {"written": 1000}


async def test_what_does_not_fit_is_counted_and_never_waited_for(
    recorder_for, counts, a_record, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "MAX_WAITING_RECORDS", 10)
    recorder = recorder_for()
    for number in range(25):  # not started yet: nothing is taken out
        recorder.record(a_record(id=str(number)))
    assert counts == {"dropped": 15}
    recorder.start()
    await recorder.close()
    assert counts == {"dropped": 15, "written": 10}
    assert len(lines_of(tmp_path / "log.jsonl")) == 10


async def test_waiting_prompts_are_bounded_together(recorder_for, counts, a_record, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING_CHARACTERS", 100)
    recorder = recorder_for(prompts="Keep")
    recorder.record(a_record(features=PromptFeatures(prompt="x", prompt_tokens=1, system_prompt="x" * 500)))
    recorder.record(a_record(prompt="y"))
    assert counts == {"dropped": 1}
    recorder.start()
    await recorder.close()
    assert counts == {"dropped": 1, "written": 1}


@pytest.mark.parametrize(("prompts", "kept"), [("Drop", []), ("Hash", [5]), ("Keep", [5, 7])])
async def test_texts_that_will_not_be_written_do_not_wait_for_it(recorder_for, a_record, prompts, kept):
    recorder = recorder_for(prompts=prompts)
    features = PromptFeatures(prompt="x" * 5, prompt_tokens=1, system_prompt="y" * 7)
    recorder.record(a_record(prompt=features.prompt, features=features))
    waiting = recorder._queue.get_nowait()
    texts = (waiting.prompt, waiting.features.prompt, waiting.features.system_prompt)
    assert [len(text) for text in texts if text] == kept


async def test_a_file_that_cannot_be_written_is_told_once_and_tried_again(
    recorder_for, counts, a_record, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "later"
    recorder = recorder_for(folder / "log.jsonl")
    recorder.start()
    for number in range(1, 4):
        recorder.record(a_record())
        async with asyncio.timeout(5):
            while counts["failed"] < number:  # noqa: ASYNC110  # a thread's state, without an event
                await asyncio.sleep(0.005)
    folder.mkdir()
    recorder.record(a_record())
    await recorder.close()
    assert counts == {"failed": 3, "written": 1}
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert len(told) == 2
    assert told[0][0] == "ERROR"
    assert "No such file" in told[0][1]
    assert told[1] == ("INFO", f"recorder: {folder / 'log.jsonl'}: is written again")


async def test_a_disk_that_hangs_holds_up_nobody(recorder_for, counts, a_record, monkeypatch, caplog):
    monkeypatch.setattr(module, "_CLOSE_WITHIN_S", 0.05)
    reader, writer = os.pipe()
    recorder = recorder_for()
    monkeypatch.setattr(recorder._file, "write", lambda lines: os.read(reader, 1))
    recorder.start()
    began_at = time.monotonic()
    for _ in range(100):
        recorder.record(a_record())
    assert time.monotonic() - began_at < 0.5
    await recorder.close()
    assert "records not written" in caplog.text
    os.close(writer)  # lets the thread end
    recorder._thread.join(5)
    os.close(reader)
    assert counts == {"written": 100}
