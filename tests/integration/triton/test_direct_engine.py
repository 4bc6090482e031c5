"""The `tensorrt_llm` model's own contract: token ids, stop, cancel, errors."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_server import TritonServer

WAIT_S = 10.0
STOP = {"input_ids": [0], "input_lengths": 0, "request_output_len": 0, "stop": True}


def tokens_of(prompt: str) -> dict[str, Any]:
    ids = EmulatorTokenizer().encode(prompt)
    return {"input_ids": ids, "input_lengths": len(ids)}


def engine_request(server: TritonServer, client_id: str) -> Any:
    """The engine's record of a finished request; the report is brought up to date twice a second."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = [request for request in server.report().requests if request.id == client_id]
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"the engine has not finished {client_id}")


def test_new_tokens_of_each_response(open_stream: Any, known: Any) -> None:
    chunks = list(
        open_stream(
            "tensorrt_llm", "t", request_output_len=100, streaming=True, **tokens_of(known.short.prompt)
        )
    )
    assert [chunk.tensor("output_ids").shape for chunk in chunks] == [(1, 1, 1)] * 12
    assert [chunk.tensor("sequence_length").tolist() for chunk in chunks] == [[[1]]] * 12
    assert chunks[-1].final


def test_engine_recognises_the_prompt_by_its_token_ids(
    open_stream: Any, known: Any, direct_triton: TritonServer
) -> None:
    prompt = tokens_of(known.longer_than_it_looks.prompt)
    list(open_stream("tensorrt_llm", "by-ids", request_output_len=100, **prompt))
    record = engine_request(direct_triton, "by-ids")
    assert (record.prompt_tokens, record.output_tokens) == (321, 4)
    assert record.submitted_at <= record.first_scheduled_at < record.finished_at
    assert record.queue_iterations == 0


def test_stop_by_id_ends_the_running_request(
    open_stream: Any, known: Any, direct_triton: TritonServer
) -> None:
    running = open_stream(
        "ensemble", "to-stop", text_input=known.very_long.prompt, max_tokens=2000, stream=True
    )
    assert not running.next().final
    answer = list(open_stream("tensorrt_llm", "to-stop", **STOP))
    assert [(chunk.final, chunk.names()) for chunk in answer] == [(True, set())]
    rest = list(running)
    assert rest[-1].final
    assert not rest[-1].error
    assert len(rest) < 1000
    assert engine_request(direct_triton, "to-stop").stopped


def test_stop_of_an_unknown_id_is_fine(open_stream: Any) -> None:
    assert not list(open_stream("tensorrt_llm", "nobody", **STOP))[-1].error


def test_stop_needs_an_id(open_stream: Any) -> None:
    assert "request ID is not provided" in open_stream("tensorrt_llm", **STOP).next().error


def test_client_that_goes_away_frees_the_engine(
    open_stream: Any, known: Any, direct_triton: TritonServer
) -> None:
    running = open_stream(
        "tensorrt_llm",
        "to-cancel",
        request_output_len=2000,
        streaming=True,
        **tokens_of(known.very_long.prompt),
    )
    assert not running.next().final
    running.close()
    record = engine_request(direct_triton, "to-cancel")
    assert record.stopped
    assert record.output_tokens < 1000


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"input_lengths": 1, "request_output_len": 5}, "input_ids"),
        ({"input_ids": [1], "input_lengths": 1, "request_output_len": 0}, "max_tokens"),
        ({"input_ids": [1], "input_lengths": 1, "request_output_len": 5, "beam_width": 2}, "beam_width"),
    ],
)
def test_bad_tensors_are_refused(open_stream: Any, inputs: dict[str, Any], words: str) -> None:
    chunk = open_stream("tensorrt_llm", "bad", **inputs).next()
    assert words in chunk.error
    assert chunk.response.id == "bad"


def test_a_list_of_outputs_must_hold_the_token_ids(open_stream: Any) -> None:
    stream = open_stream(
        "tensorrt_llm",
        outputs=("sequence_length",),
        input_ids=[1, 2],
        input_lengths=2,
        request_output_len=5,
    )
    assert "output_ids tensor must be present" in stream.next().error
