"""Text for an engine that takes and gives token ids: encoded and decoded here."""

from __future__ import annotations

import pytest
from profile_builders import ENGINE, a_model, a_response, read, tensors
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError
from sagesched_gateway.text import Sampling
from sagesched_gateway.tokenizer import ModelTokenizer
from sagesched_gateway.triton.profiles.inflight_batcher import TokenProfile

VOCABULARY = {"<s>": 0, "</s>": 1, "one": 2, "two": 3, "three": 4, "?": 5}


@pytest.fixture
def tokenizer(tmp_path):
    """Words; a prompt begins with <s>, an answer ends with </s>."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<s>", "</s>"])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "</s>"}}')
    return ModelTokenizer(str(tmp_path))


@pytest.fixture
def profile(tokenizer):
    return TokenProfile(a_model(ENGINE, ("output_ids",), batch=8), tokenizer)


def test_a_prompt_becomes_ids_and_the_end_token_is_told(profile):
    message = profile.compose("engine", "one two", Sampling(max_tokens=9, stream=True, temperature=0))
    found = tensors(message)
    assert found.pop("end_id") == ("INT32", [1, 1], [1])
    assert found == {
        "input_ids": ("INT32", [1, 3], [0, 2, 3]),
        "input_lengths": ("INT32", [1, 1], [3]),
        "request_output_len": ("INT32", [1, 1], [9]),
        "streaming": ("BOOL", [1, 1], [True]),
        "exclude_input_in_output": ("BOOL", [1, 1], [True]),
        "runtime_top_k": ("INT32", [1, 1], [1]),
    }
    request = read(profile, message)
    assert (request.prompt_tokens, request.max_tokens) == (3, 9)


def test_a_beginning_that_a_template_wrote_is_not_doubled(profile):
    found = tensors(profile.compose("engine", "<s> one", Sampling(max_tokens=9)))
    assert found["input_ids"][2] == [0, 2]


def test_stop_words_are_rows_of_ids_and_ends(profile):
    found = tensors(profile.compose("engine", "one", Sampling(max_tokens=9, stop=("one two", "three"))))
    assert found["stop_words_list"] == ("INT32", [1, 2, 3], [2, 3, 4, 2, 3, -1])


@pytest.mark.parametrize("prompt", ["\ud800"])
def test_what_is_no_text_is_the_callers_fault(profile, prompt):
    with pytest.raises(InvalidRequestError, match="prompt"):
        profile.compose("engine", prompt, Sampling(max_tokens=9))


def test_ids_become_text_and_are_counted(profile):
    reader = profile.text_reader()
    assert reader.read(a_response(ids=[2])).text == "one"
    piece = reader.read(a_response(ids=[3, 4, 1]))
    assert (piece.text, piece.output_tokens) == (" two three", 3)
    assert reader.close().text == ""


def test_without_a_tokenizer_there_is_no_text():
    profile = TokenProfile(a_model(ENGINE, ("output_ids",), batch=8))
    assert not profile.takes_text
    with pytest.raises(UnsupportedError):
        profile.compose("engine", "one", Sampling(max_tokens=9))
