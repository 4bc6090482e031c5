"""Text through the ensemble of the emulated repository, on a real Triton."""

from __future__ import annotations

from typing import Any

import pytest

from sagesched_emulator.tokenizer import EmulatorTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> EmulatorTokenizer:
    return EmulatorTokenizer()


def test_each_token_is_streamed_and_the_last_one_is_final(open_stream: Any, known: Any) -> None:
    chunks = list(open_stream("ensemble", "r-1", text_input=known.short.prompt, max_tokens=100, stream=True))
    assert len(chunks) == known.short.output_tokens[0]
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert {chunk.response.id for chunk in chunks} == {"r-1"}
    assert {chunk.response.model_name for chunk in chunks} == {"ensemble"}
    assert all(chunk.tensor("text_output").shape == (1, 1) for chunk in chunks)


def test_text_has_as_many_tokens_as_the_answer(
    open_stream: Any, known: Any, tokenizer: EmulatorTokenizer
) -> None:
    stream = open_stream("ensemble", text_input=known.short.prompt, max_tokens=100, stream=True)
    assert len(tokenizer.encode(stream.text())) == known.short.output_tokens[0]


def test_same_prompt_same_text(open_stream: Any, known: Any) -> None:
    asked = {"text_input": known.short.prompt, "max_tokens": 9, "stream": True}
    assert open_stream("ensemble", **asked).text() == open_stream("ensemble", **asked).text()


def test_max_tokens_cuts_the_answer(open_stream: Any, known: Any) -> None:
    chunks = list(open_stream("ensemble", text_input=known.short.prompt, max_tokens=5, stream=True))
    assert len(chunks) == 5


def test_min_tokens_lengthens_it(open_stream: Any, known: Any) -> None:
    asked = {"max_tokens": 30, "min_tokens": 15, "stream": True}
    assert len(list(open_stream("ensemble", text_input=known.short.prompt, **asked))) == 15


def test_without_streaming_prompt_and_answer_come_in_one_response(
    open_stream: Any, known: Any, tokenizer: EmulatorTokenizer
) -> None:
    chunks = list(open_stream("ensemble", text_input=known.short.prompt, max_tokens=100))
    assert [chunk.final for chunk in chunks] == [True]
    text = chunks[0].tensor("text_output").item().decode()
    assert text.startswith(known.short.prompt)
    assert len(tokenizer.encode(text.removeprefix(known.short.prompt))) == known.short.output_tokens[0]


def test_exclude_input_in_output_leaves_the_prompt_out(open_stream: Any, known: Any) -> None:
    asked = {"text_input": known.short.prompt, "max_tokens": 100}
    streamed = open_stream("ensemble", stream=True, **asked).text()
    assert open_stream("ensemble", exclude_input_in_output=True, **asked).text() == streamed


def test_repeated_prompt_takes_its_answers_in_turn(open_stream: Any, known: Any) -> None:
    lengths = [
        len(list(open_stream("ensemble", text_input=known.repeated.prompt, max_tokens=100, stream=True)))
        for _ in range(3)
    ]
    assert lengths == [3, 5, 3]


def test_token_counts_come_only_when_asked_for(open_stream: Any, known: Any) -> None:
    asked = {"text_input": known.longer_than_it_looks.prompt, "max_tokens": 100, "stream": True}
    plain = list(open_stream("ensemble", **asked))
    assert plain[0].names() == {"text_output"}
    counted = list(
        open_stream("ensemble", return_num_input_tokens=True, return_num_output_tokens=True, **asked)
    )
    assert {chunk.tensor("num_input_tokens").item() for chunk in counted} == {321}
    assert sum(chunk.tensor("num_output_tokens").item() for chunk in counted) == 4


def test_perf_metrics_are_instants_in_order(open_stream: Any, known: Any) -> None:
    chunks = list(
        open_stream(
            "ensemble",
            text_input=known.short.prompt,
            max_tokens=100,
            stream=True,
            return_perf_metrics=True,
        )
    )
    names = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")
    instants = [chunks[-1].tensor(name).item() for name in names]
    assert instants == sorted(instants)
    assert instants[0] > 0
    assert chunks[0].tensor("last_token_time_ns").item() == 0
    assert chunks[-1].tensor("kv_cache_alloc_total_blocks").item() == 2  # 23 + 12 tokens, 32 to a block


def test_only_outputs_asked_for_come(open_stream: Any, known: Any) -> None:
    stream = open_stream(
        "ensemble",
        outputs=("text_output",),
        text_input=known.short.prompt,
        max_tokens=100,
        stream=True,
        return_num_output_tokens=True,
    )
    assert {name for chunk in stream for name in chunk.names()} == {"text_output"}


def test_prompt_that_does_not_fit_is_refused_in_words(open_stream: Any) -> None:
    stream = open_stream("ensemble", "big", text_input="word " * 9000, max_tokens=10, stream=True)
    chunk = stream.next()
    assert "Executor failed process requestId" in chunk.error
    assert "max_num_tokens 8192" in chunk.error
    assert chunk.response.id == "big"


def test_many_at_once_all_come_to_their_end(open_stream: Any, known: Any) -> None:
    streams = [
        open_stream("ensemble", f"m-{i}", text_input=f"Question {i}?", max_tokens=20, stream=True)
        for i in range(40)
    ]
    finals = [list(stream)[-1] for stream in streams]
    assert [chunk.response.id for chunk in finals] == [f"m-{i}" for i in range(40)]
    assert not any(chunk.error for chunk in finals)
