"""The LLM API's contract: tensors of one dimension, text of either style, no counts."""

from __future__ import annotations

import grpc.aio
import pytest
from profile_builders import LLMAPI, a_model, a_response, read, tensors
from tokenizers import Tokenizer, models, pre_tokenizers

from sagesched_gateway.errors import ForbiddenError, UnsupportedError
from sagesched_gateway.kserve import ModelInferRequest, ModelStreamInferResponse
from sagesched_gateway.request import StopOrderError
from sagesched_gateway.text import Sampling
from sagesched_gateway.tokenizer import ModelTokenizer
from sagesched_gateway.triton.profiles.chunk_size import SETTLED
from sagesched_gateway.triton.profiles.llmapi import DEFAULT_MAX_TOKENS, LlmApiProfile
from sagesched_gateway.triton.upstream import TritonCall


def a_profile(tokenizer=None, **model):
    return LlmApiProfile(a_model(LLMAPI, ("text_output", "finish_reason"), **model), tokenizer)


@pytest.fixture
def words(tmp_path):
    """A token is a word."""
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return ModelTokenizer(str(tmp_path))


def test_tensors_have_one_dimension():
    sampling = Sampling(max_tokens=9, stream=True, temperature=0, seed=3, stop=("x", "y"))
    assert tensors(a_profile().compose("model", "hi", sampling)) == {
        "text_input": ("BYTES", [1], [b"hi"]),
        "sampling_param_max_tokens": ("INT32", [1], [9]),
        "streaming": ("BOOL", [1], [True]),
        "sampling_param_exclude_input_from_output": ("BOOL", [1], [True]),
        "sampling_param_top_k": ("INT32", [1], [1]),
        "sampling_param_seed": ("UINT64", [1], [3]),
        "sampling_param_stop": ("BYTES", [2], [b"x", b"y"]),
        "return_finish_reason": ("BOOL", [1], [True]),
    }


def test_a_model_of_one_response_answers_a_wish_for_pieces_in_one():
    found = tensors(a_profile(decoupled=False).compose("model", "hi", Sampling(max_tokens=9, stream=True)))
    assert "streaming" not in found


def test_there_is_no_guided_decoding():
    with pytest.raises(UnsupportedError, match="json_schema"):
        a_profile().compose("model", "hi", Sampling(max_tokens=9, json_schema="{}"))


def a_request(**flags):
    message = ModelInferRequest(model_name="model", id="c1")
    message.inputs.add(name="text_input", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"a b")
    for name in flags:
        message.inputs.add(name=name, datatype="BOOL", shape=[1]).contents.bool_contents.append(True)
    return message


def test_the_cap_has_the_library_s_default():
    assert read(a_profile(), a_request()).max_tokens == DEFAULT_MAX_TOKENS
    composed = a_profile().compose("model", "hi", Sampling(max_tokens=9))
    assert read(a_profile(), composed).max_tokens == 9


def test_a_path_on_the_server_is_refused():
    message = a_request()
    message.inputs.add(name="lora_path", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"/etc")
    with pytest.raises(ForbiddenError, match="lora_path"):
        read(a_profile(), message)


@pytest.mark.parametrize("harm", ["lora_path", "classification"])
def test_nothing_that_is_left_to_triton_hides_what_is_refused(harm):
    message = a_request()
    message.inputs.add(name="stop", datatype="BYTES", shape=[1])  # cannot be read
    if harm == "lora_path":
        message.inputs.add(name="lora_path", datatype="BYTES", shape=[1])
    else:
        message.outputs.add(name="text_output").parameters["classification"].int64_param = 1
    with pytest.raises((ForbiddenError, UnsupportedError), match=harm):
        read(a_profile(), message)


def test_a_stop_request_is_an_order():
    with pytest.raises(StopOrderError):
        read(a_profile(), a_request(stop=True))


def test_a_chunk_of_a_stream_counts_as_a_token_while_nobody_looks_into_it():
    request = read(a_profile(), a_request(streaming=True))
    assert request.counts_tokens
    assert a_profile().translate(a_response(b"a"), request).new_tokens == 1


def test_a_whole_answer_is_counted_by_the_tokenizer_alone(words):
    profile = a_profile(words)
    request = read(profile, a_request())
    assert profile.translate(a_response(b"a b b a", final=True), request).new_tokens == 2
    assert request.counts_tokens
    assert not read(a_profile(), a_request()).counts_tokens


def test_the_reader_tells_why_it_ended_and_counts_at_the_end(words):
    reader = a_profile(words).text_reader()
    assert reader.read(a_response(b"a", reason="None")).finish_reason is None
    last = reader.read(a_response(b"a b", reason="length"))
    assert (last.finish_reason, last.output_tokens) == ("length", None)
    end = reader.close()
    assert (end.text, end.output_tokens) == (" b", 2)


def test_the_style_of_the_text_is_learned_once():
    profile = a_profile()
    first = profile.text_reader()
    so_far = ""
    for piece in ("The answer", " is", " that", " there"):
        so_far += piece
        first.read(a_response(so_far.encode()))
    second = profile.text_reader()
    assert second.read(a_response(b"a")).text == "a"
    assert second.read(a_response(b"ab")).text == "b"


def test_classification_is_refused_because_triton_dies_of_it():
    message = a_request()
    message.outputs.add(name="text_output").parameters["classification"].int64_param = 1
    with pytest.raises(UnsupportedError, match="'text_output' of a model that generates text"):
        read(a_profile(), message)


class Messages:
    """A stream's messages, as `TritonClient.generate` gives them."""

    def __init__(self, texts):
        self._messages = [
            ModelStreamInferResponse(infer_response=a_response(text, final=index == len(texts) - 1))
            for index, text in enumerate(texts)
        ]

    def generate(self, body, metadata):
        del body, metadata
        return self

    async def read(self):
        return self._messages.pop(0).SerializeToString() if self._messages else grpc.aio.EOF


async def chunks(profile, texts):
    request = read(profile, a_request(streaming=True))
    return [chunk async for chunk in TritonCall(Messages(texts), profile, request)]


async def test_once_a_chunk_is_known_to_be_a_token_most_streams_are_not_decoded_any_more():
    profile = a_profile()
    words = [b" word"] * (SETTLED + 10)
    first = await chunks(profile, words)
    assert [chunk.new_tokens for chunk in first] == [1] * len(words)
    assert not any(isinstance(chunk.response, bytes) for chunk in first[:SETTLED])
    assert isinstance(first[-2].response, bytes)
    second = await chunks(profile, words)
    assert [chunk.new_tokens for chunk in second] == [1] * len(words)
    assert all(isinstance(chunk.response, bytes) for chunk in second[2:-1])


async def test_several_tokens_to_a_chunk_are_counted_until_the_last():
    profile = a_profile()
    piece = b" one two three four five six"
    found = await chunks(profile, [b" word", b" one two three four five", *[piece] * 3, b" one two three"])
    assert [chunk.new_tokens for chunk in found] == [1, 5, 6, 6, 6, 3]
    assert not any(isinstance(chunk.response, bytes) for chunk in found)
