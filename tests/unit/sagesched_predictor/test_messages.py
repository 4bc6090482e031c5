from __future__ import annotations

import json
from typing import Any

import pytest

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.messages import (
    MessageError,
    Observe,
    Predict,
    error_line,
    parse_line,
    pool_line,
    prediction_line,
    ready_line,
)
from sagesched_predictor.predictor import Prediction

PREDICT: dict[str, Any] = {
    "op": "predict", "id": "r1", "prompt": "hi", "prompt_tokens": 2, "max_tokens": 100, "model": "m",
}  # fmt: skip
OBSERVE = PREDICT | {"op": "observe", "output_tokens": 7, "censored": True}


def test_understands_both_operations() -> None:
    predict, observe = (parse_line(json.dumps(message).encode()) for message in (PREDICT, OBSERVE))
    assert isinstance(predict, Predict)
    assert (predict.request_id, predict.features.prompt, predict.features.max_tokens) == ("r1", "hi", 100)
    assert isinstance(observe, Observe)
    assert observe.features == predict.features
    assert (observe.outcome.output_tokens, observe.outcome.censored) == (7, True)


def test_all_that_is_known_of_a_request_arrives() -> None:
    asked = {
        "temperature": 0, "top_p": 0.9, "system_prompt": "Be brief.", "has_tools": True, "wants_json": True,
        "thinking": True, "tenant": "acme",
    }  # fmt: skip
    features = parse_line(json.dumps(PREDICT | asked).encode()).features
    assert {name: getattr(features, name) for name in asked} == asked
    plain = parse_line(json.dumps(PREDICT).encode()).features
    assert (plain.temperature, plain.system_prompt, plain.thinking) == (None, "", False)


def test_unknown_fields_are_for_later_versions() -> None:
    assert isinstance(parse_line(json.dumps(PREDICT | {"colour": "x"}).encode()), Predict)


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{}", b'{"id": 3}', b"[" * 100_000],
    ids=lambda b: repr(b[:9]),
)
def test_a_line_without_an_id_belongs_to_nobody(line: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        parse_line(line)
    assert caught.value.request_id is None


@pytest.mark.parametrize(
    "change",
    [
        {"op": "dance"},
        {"op": None},
        {"prompt": 3},
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.5},
        {"max_tokens": True},
        {"model": None},
        {"censored": "no"},
        {"output_tokens": "7"},
        {"output_tokens": 10**30},
        {"temperature": "hot"},
        pytest.param({"top_p": 10**400}, id="top_p too large"),
        {"thinking": 1},
        {"tenant": None},
    ],
    ids=str,
)
def test_a_wrong_field_is_named_with_its_request(change: dict[str, Any]) -> None:
    with pytest.raises(MessageError, match=next(iter(change))) as caught:
        parse_line(json.dumps(OBSERVE | change).encode())
    assert caught.value.request_id == "r1"


def test_answers_are_single_lines_of_json() -> None:
    distribution = LengthDistribution.from_samples([3, 5])
    lines = [
        ready_line("CPUExecutionProvider", None, 3, distribution.to_pairs()),
        prediction_line("r", Prediction(distribution, "history", 2), 0.5),
        prediction_line("r", Prediction(None, "none", 0), 0.5),
        pool_line("m", distribution),
        error_line(None, "two\nlines"),
    ]
    assert not any("\n" in line for line in lines)
    ready, history, none, pool, error = map(json.loads, lines)
    assert ready["pool"] == [[3, 0.5], [5, 0.5]]
    assert (ready["history"], ready["fallback"]) == (3, None)
    assert LengthDistribution.from_pairs(history["pairs"]) == distribution
    assert (none["pairs"], none["source"], none["neighbours"]) == ([], "none", 0)
    assert pool["pairs"] == [[3, 0.5], [5, 0.5]]
    assert error == {"op": "error", "id": None, "message": "two\nlines"}
