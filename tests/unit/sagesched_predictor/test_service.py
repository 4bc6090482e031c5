from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sagesched_predictor import keeping, series, service
from sagesched_predictor.errors import EncoderError
from sagesched_predictor.history import History
from sagesched_predictor.online_head import MIN_RECORDS, Answers, OnlineHead
from sagesched_predictor.pool import MIN_LENGTHS
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.service import Service, serve
from sagesched_predictor.snapshot import read_snapshot
from sagesched_predictor.worker_settings import WorkerSettings


class BrokenEncoder:
    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        raise EncoderError("the encoder failed")


class Conversation:
    """A service and what it said so far."""

    def __init__(self, encoder: Any) -> None:
        self.predictor = Predictor(encoder, History(2))
        self._out = io.StringIO()
        self._service = Service(self.predictor, self._out)

    def tell(self, *messages: dict[str, Any] | bytes, overloaded: bool = False) -> list[dict[str, Any]]:
        start = self._out.tell()
        lines = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
        self._service.handle(lines, overloaded=overloaded)
        return [json.loads(line) for line in self._out.getvalue()[start:].splitlines()]


def predict(request_id: str, angle: float = 0) -> dict[str, Any]:
    return {
        "op": "predict",
        "id": request_id,
        "prompt": f"p*{angle}",
        "prompt_tokens": 3,
        "max_tokens": 100,
        "model": "m",
    }


def observe(request_id: str, tokens: int, angle: float = 0, *, censored: bool = False) -> dict[str, Any]:
    return predict(request_id, angle) | {"op": "observe", "output_tokens": tokens, "censored": censored}


@pytest.fixture
def conversation(direction_encoder: Any) -> Conversation:
    return Conversation(direction_encoder)


def test_waiting_prompts_share_an_encoder_run(conversation: Conversation, direction_encoder: Any) -> None:
    answers = conversation.tell(predict("a", 0), observe("z", 5, 50), predict("b", 40), observe("y", 6, 60))
    assert [answer["id"] for answer in answers] == ["a", "b"]
    assert direction_encoder.asked == [["p*0", "p*40"], ["p*50", "p*60"]]
    assert conversation.predictor.num_records == 2


def test_a_bad_line_harms_no_other(conversation: Conversation) -> None:
    answers = conversation.tell(b"garbage", predict("a"), predict("b") | {"prompt_tokens": "x"})
    assert [(a["op"], a["id"]) for a in answers] == [("error", None), ("error", "b"), ("prediction", "a")]


def test_tells_when_the_pool_is_first_known(conversation: Conversation) -> None:
    answers = conversation.tell(*[observe(str(i), 40 + i) for i in range(MIN_LENGTHS)])
    assert [(a["op"], a["model"]) for a in answers] == [("pool", "m")]
    assert [tokens for tokens, _ in answers[0]["pairs"]] == [40, 41, 42, 43, 44]
    assert conversation.tell(observe("z", 40)) == []


def test_cut_off_answers_are_no_news(conversation: Conversation) -> None:
    messages = [observe(str(i), 100, censored=True) for i in range(3 * MIN_LENGTHS)]
    assert conversation.tell(*messages) == []
    assert conversation.tell(predict("a"))[0]["source"] == "none"


def test_answers_pool_wide_while_the_encoder_cannot_keep_up(
    conversation: Conversation, direction_encoder: Any
) -> None:
    conversation.tell(*[observe(str(i), 50) for i in range(MIN_LENGTHS)])
    num_runs = len(direction_encoder.asked)
    (answer,) = conversation.tell(predict("a", 77), observe("b", 51, 78), overloaded=True)
    assert (answer["source"], answer["pairs"]) == ("pool", [[50, 1.0]])
    assert len(direction_encoder.asked) == num_runs
    assert conversation.predictor.num_records == MIN_LENGTHS
    conversation.tell(observe("c", 52, 0), overloaded=True)  # its embedding is at hand
    assert conversation.predictor.num_records == MIN_LENGTHS + 1


def test_an_encoder_that_fails_is_answered_for(direction_encoder: Any) -> None:
    conversation = Conversation(BrokenEncoder())
    answers = conversation.tell(predict("a"), predict("b"), observe("c", 3))
    assert [(a["op"], a["id"], a["message"]) for a in answers] == [
        ("error", request_id, "the encoder failed") for request_id in ("a", "b", "c")
    ]


def test_pairs_are_a_distribution(conversation: Conversation) -> None:
    conversation.tell(*[observe(str(i), tokens) for i, tokens in enumerate(range(10, 200, 7))])
    (answer,) = conversation.tell(predict("a", 20))
    tokens, weights = np.array(answer["pairs"]).T
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(tokens) > 0).all()
    assert tokens[-1] <= 100


def test_the_end_does_not_wait_for_a_fit_before_it_saves(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, is_saved = tmp_path / "history.npz", []

    def slow_fit(answers: Answers, levels: tuple[float, ...], seed: int) -> OnlineHead:
        until = time.monotonic() + 5
        while not snapshot.exists() and time.monotonic() < until:
            time.sleep(0.01)
        is_saved.append(snapshot.exists())
        return OnlineHead(answers, levels, seed)

    monkeypatch.setattr(series, "FIT_AT_ONCE", 0)
    monkeypatch.setattr(series, "OnlineHead", slow_fit)
    lines = b"".join(json.dumps(observe(str(i), 10 + i)).encode() + b"\n" for i in range(MIN_RECORDS))
    serve(WorkerSettings(encoder_folder, snapshot=snapshot), io.BytesIO(lines), io.StringIO())
    assert is_saved == [True]


def test_what_was_learned_is_saved_though_nothing_more_comes(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (service, keeping):
        monkeypatch.setattr(module, "SAVE_EVERY_S", 1.0)
    settings = WorkerSettings(encoder_folder, prior=False, snapshot=tmp_path / "history.npz")
    kept, (reading, writing) = tmp_path / "history.npz", os.pipe()
    source, ours = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
    with source, ThreadPoolExecutor(1) as worker, ours:
        is_over = worker.submit(serve, settings, source, io.StringIO())
        ours.write(json.dumps(observe("a", 10)).encode() + b"\n")
        ours.flush()
        until = time.monotonic() + 10
        while not is_over.done() and time.monotonic() < until and not kept.exists():
            time.sleep(0.05)
        assert len(read_snapshot(kept).series) == 1
    is_over.result(0)
