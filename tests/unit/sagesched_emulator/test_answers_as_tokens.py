"""What the emulated engine model says: `AnswerText`, `Generation` and the reading of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sagesched_emulator.iteration import Emission
from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_model.answer_text import NUM_TOKENS, AnswerText
from sagesched_emulator.triton_model.generation import Generation, GenerationTensors, InvalidTensorError
from sagesched_emulator.triton_model.requests import read_generation, wants_stop

TOKENIZER = EmulatorTokenizer()
TEXT = AnswerText(TOKENIZER)
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def an_emission(total_tokens: int, new_tokens: int = 1, final: bool = False) -> Emission:
    return Emission("r", new_tokens, total_tokens, total_tokens == new_tokens, final, False)


def a_generation(**tensors: Any) -> Generation:
    prompt_ids = np.array([5, 6, 7], dtype=np.int32)
    return Generation(
        order=0,
        client_id="c",
        tensors=GenerationTensors(prompt_ids=prompt_ids, max_tokens=100, **tensors),
        prompt_tokens=3,
        text_offset=41,
        submitted_at=0.0,
    )


def reading(**tensors: Any) -> Any:
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    return arrays.get


def test_text_encodes_to_the_tokens_it_was_made_of() -> None:
    tokens = TEXT.tokens(TEXT.offset("a prompt"), 0, 500).tolist()
    assert TOKENIZER.encode(TOKENIZER.decode(tokens)) == tokens


def test_chunks_add_up_even_around_the_end_of_the_text() -> None:
    offset = NUM_TOKENS - 10
    chunks = [TEXT.tokens(offset, begin, begin + 3) for begin in range(0, 30, 3)]
    assert np.concatenate(chunks).tolist() == TEXT.tokens(offset, 0, 30).tolist()


def test_answer_may_be_longer_than_the_text() -> None:
    assert TEXT.tokens(3, 0, 2 * NUM_TOKENS + 1).size == 2 * NUM_TOKENS + 1


def test_a_prompt_beyond_ascii_is_answered_in_kind() -> None:
    offset = TEXT.offset("你好世界")
    assert offset >= NUM_TOKENS
    tokens = TEXT.tokens(offset, 0, 3 * NUM_TOKENS)
    text = TOKENIZER.decode(tokens[:300].tolist()).rstrip(REPLACEMENT)
    assert REPLACEMENT not in text
    assert sum(REPLACEMENT in TOKENIZER.decode([token]) for token in tokens[:300]) > 100
    assert tokens.size == 3 * NUM_TOKENS


def test_text_is_taken_in_whole_characters() -> None:
    generation = a_generation(streaming=True)
    smile = "🙂".encode()
    pieces = [generation.take_text(smile[:3], final=False), generation.take_text(smile[3:], final=True)]
    assert pieces == ["", "🙂"]
    assert generation.text == "🙂"


def test_streaming_sends_new_tokens_only() -> None:
    generation = a_generation(streaming=True)
    first = generation.output_ids(an_emission(1), TEXT)
    rest = generation.output_ids(an_emission(5, new_tokens=4, final=True), TEXT)
    assert first is not None
    assert rest is not None
    assert [*first, *rest] == TEXT.tokens(41, 0, 5).tolist()


def test_single_response_begins_with_the_prompt() -> None:
    generation = a_generation()
    assert generation.output_ids(an_emission(1), TEXT) is None
    ids = generation.output_ids(an_emission(2, final=True), TEXT)
    assert ids is not None
    assert ids.tolist() == [5, 6, 7, *TEXT.tokens(41, 0, 2)]


def test_single_response_without_the_prompt() -> None:
    ids = a_generation(exclude_prompt=True).output_ids(an_emission(2, final=True), TEXT)
    assert ids is not None
    assert ids.tolist() == TEXT.tokens(41, 0, 2).tolist()


def test_tensors_are_read_with_their_defaults() -> None:
    read = read_generation(reading(input_ids=[[1, 2, 3, 0]], input_lengths=[3], request_output_len=[9]))
    assert read.prompt_ids.tolist() == [1, 2, 3]
    assert read.max_tokens == 9
    assert [read.streaming, read.exclude_prompt, read.return_perf_metrics] == [False] * 3


def test_flags_are_read() -> None:
    read = read_generation(
        reading(
            input_ids=[[1]], streaming=[True], exclude_input_in_output=[True], return_num_input_tokens=[True]
        )
    )
    assert read.streaming
    assert read.exclude_prompt
    assert read.return_num_input_tokens


def test_stop_is_told_from_generation() -> None:
    assert wants_stop(reading(stop=[True]))
    assert not wants_stop(reading(stop=[False]))
    assert not wants_stop(reading(input_ids=[[1]]))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "required for input_ids"),
        ({"input_ids": [[1], [2]]}, "batch size 2"),
        ({"input_ids": [[1]], "beam_width": [4]}, "beam_width 4"),
        ({"input_ids": [[1]], "num_return_sequences": [2]}, "num_return_sequences 2"),
    ],
)
def test_what_is_not_emulated_is_refused(tensors: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidTensorError, match=words):
        read_generation(reading(**tensors))
