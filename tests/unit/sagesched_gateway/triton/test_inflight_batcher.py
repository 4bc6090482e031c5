"""The classic layout, both ways: what goes to Triton and what the caller sees."""

from __future__ import annotations

import struct

import pytest
from fake_triton import a_request

from sagesched_gateway.errors import InvalidRequestError
from sagesched_gateway.kserve import (
    EMPTY_FINAL_PARAMETER,
    FINAL_PARAMETER,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
)
from sagesched_gateway.request import StopOrderError
from sagesched_gateway.triton.profiles.base import ModelDescription
from sagesched_gateway.triton.profiles.inflight_batcher import TextProfile, TokenProfile
from sagesched_gateway.triton.profiles.registry import ProfileChoice, choose_profile, is_engine
from sagesched_gateway.triton.tensors import Inputs, add_flag

TEXT = ("text_input", "max_tokens", "stream")
FLAGS = ("return_num_input_tokens", "return_num_output_tokens")
AUTOMATIC = ProfileChoice()
COUNTS = ("num_input_tokens", "num_output_tokens")


def a_description(inputs=TEXT + FLAGS, outputs=("text_output", *COUNTS), platform="ensemble", batch=8):
    metadata = ModelMetadataResponse(name="ensemble")
    for name in inputs:
        metadata.inputs.add(name=name)
    for name in outputs:
        metadata.outputs.add(name=name)
    config = ModelConfigResponse()
    config.config.platform = platform
    config.config.max_batch_size = batch
    return ModelDescription.of(metadata, config)


def a_text_profile(**description):
    return TextProfile(a_description(**description), "tensorrt_llm")


def a_response(*, final=False, outputs=("text_output",), id="upstream"):
    response = ModelInferResponse(model_name="ensemble", model_version="1", id=id)
    response.parameters[FINAL_PARAMETER].bool_param = final
    for name in outputs:
        response.outputs.add(name=name, datatype="INT32", shape=[1, 1])
        response.raw_output_contents.append(struct.pack("<i", 1 if name != "num_input_tokens" else 7))
    return response


def read(profile, message, metadata=()):
    """A request as dispatch gets it."""
    return profile.read(message, message.SerializeToString(), "up", metadata)


def sent(request):
    """The message as Triton reads it."""
    return ModelInferRequest.FromString(request.body)


@pytest.mark.parametrize(
    ("stream", "exclude", "expected"), [(True, False, 12), (False, True, 12), (False, False, 5)]
)
def test_an_echoed_prompt_is_no_output(stream, exclude, expected):
    message = a_request("hi", stream=stream)
    add_flag(message, "exclude_input_in_output", batch=1, raw=bool(message.raw_input_contents))
    if not exclude:
        message.raw_input_contents[-1] = b"\0"
    profile = a_text_profile()
    request = read(profile, message)
    response = a_response(outputs=("text_output",))
    for name, value in zip(COUNTS, (7, 12), strict=True):
        response.outputs.add(name=name, datatype="INT32", shape=[1, 1])
        response.raw_output_contents.append(struct.pack("<i", value))
    assert profile.translate(response, request).new_tokens == expected


def test_the_request_is_read():
    request = read(a_text_profile(), a_request("hi", max_tokens=9), (("k", "v"),))
    assert (request.prompt, request.prompt_tokens, request.max_tokens) == ("hi", None, 9)
    assert (request.client_id, request.upstream_id, sent(request).id) == ("c1", "up", "up")
    assert request.metadata == (("k", "v"),)


@pytest.mark.parametrize("raw", [True, False])
def test_what_the_caller_sent_goes_byte_for_byte_and_additions_follow(raw):
    message = a_request("hi", raw=raw)
    message.parameters["priority"].uint64_param = 3
    message.parameters["mine"].string_param = "kept"
    body = message.SerializeToString()
    request = a_text_profile().read(message, body, "up", ())
    assert message.SerializeToString() == body
    assert request.body.startswith(body)
    upstream = sent(request)
    assert upstream.parameters[EMPTY_FINAL_PARAMETER].bool_param
    for flag in FLAGS:
        assert Inputs(upstream).integers(flag) == [1]
    del upstream.parameters[EMPTY_FINAL_PARAMETER]
    upstream.id = message.id
    del upstream.inputs[len(message.inputs) :]
    del upstream.raw_input_contents[len(message.raw_input_contents) :]
    assert upstream == message


def test_a_declined_empty_final_is_asked_for_all_the_same():
    message = a_request()
    message.parameters[EMPTY_FINAL_PARAMETER].bool_param = False
    request = read(a_text_profile(), message)
    assert sent(request).parameters[EMPTY_FINAL_PARAMETER].bool_param
    assert not request.wants_empty_final


def test_counts_are_asked_for_only_where_the_model_offers_them():
    bare = read(a_text_profile(inputs=TEXT, outputs=("text_output",)), a_request())
    assert [tensor.name for tensor in sent(bare).inputs] == list(TEXT)
    assert not bare.hidden_outputs
    full = read(a_text_profile(), a_request())
    assert [tensor.name for tensor in sent(full).inputs] == list(TEXT + FLAGS)
    assert full.hidden_outputs == frozenset(COUNTS)


def test_prompts_are_not_counted_where_a_tokenizer_does_it():
    profile = TextProfile(a_description(), "tensorrt_llm", counts_prompts=False)
    assert read(profile, a_request()).hidden_outputs == frozenset({"num_output_tokens"})


def test_counts_the_caller_asked_for_are_shown():
    message = a_request()
    message.inputs.add(name="return_num_output_tokens", datatype="BOOL", shape=[1, 1])
    message.raw_input_contents.append(b"\x01")
    request = read(a_text_profile(), message)
    assert request.hidden_outputs == frozenset({"num_input_tokens"})


def test_a_limited_list_of_outputs_is_extended_and_the_addition_hidden():
    message = a_request()
    message.outputs.add().name = "text_output"
    request = read(a_text_profile(), message)
    assert {output.name for output in sent(request).outputs} == {"text_output", *COUNTS}
    assert request.hidden_outputs == frozenset(COUNTS)


def test_a_count_the_caller_lists_itself_is_left_to_it():
    message = a_request()
    message.outputs.add().name = "num_output_tokens"
    request = read(a_text_profile(), message)
    assert "return_num_output_tokens" not in {tensor.name for tensor in sent(request).inputs}
    assert "num_output_tokens" not in request.hidden_outputs


def test_the_opt_in_of_the_caller_is_noticed():
    message = a_request()
    message.parameters[EMPTY_FINAL_PARAMETER].bool_param = True
    assert read(a_text_profile(), message).wants_empty_final
    assert not read(a_text_profile(), a_request()).wants_empty_final


@pytest.mark.parametrize(("stream", "counts"), [(True, True), (False, False)])
def test_without_counts_only_streams_tell_tokens(stream, counts):
    profile = a_text_profile(inputs=TEXT, outputs=("text_output",))
    assert read(profile, a_request(stream=stream)).counts_tokens is counts


def test_a_response_gets_its_id_back_and_loses_what_was_added():
    profile = a_text_profile()
    request = read(profile, a_request())
    chunk = profile.translate(
        a_response(outputs=("num_input_tokens", "text_output", "num_output_tokens")), request
    )
    assert chunk.response.id == "c1"
    assert [output.name for output in chunk.response.outputs] == ["text_output"]
    assert len(chunk.response.raw_output_contents) == 1
    assert (chunk.new_tokens, chunk.input_tokens, chunk.final) == (1, 7, False)


def test_without_a_count_a_chunk_is_a_token():
    profile = a_text_profile()
    chunk = profile.translate(a_response(final=True), read(profile, a_request()))
    assert (chunk.new_tokens, chunk.final) == (1, True)


def test_an_empty_final_is_shown_to_those_who_asked():
    profile = a_text_profile()
    swallowed = profile.translate(a_response(final=True, outputs=()), read(profile, a_request()))
    assert (swallowed.response, swallowed.final, swallowed.new_tokens) == (None, True, 0)
    message = a_request()
    message.parameters[EMPTY_FINAL_PARAMETER].bool_param = True
    shown = profile.translate(a_response(final=True, outputs=()), read(profile, message))
    assert shown.response.id == "c1"


def test_an_empty_response_that_is_not_the_last_is_shown_as_triton_would():
    profile = a_text_profile()
    chunk = profile.translate(a_response(outputs=()), read(profile, a_request()))
    assert chunk.response is not None
    assert not chunk.final


@pytest.mark.parametrize("broken", ["text_input", "max_tokens"])
def test_a_missing_tensor_is_an_invalid_request(broken):
    message = a_request()
    index = [tensor.name for tensor in message.inputs].index(broken)
    del message.inputs[index]
    del message.raw_input_contents[index]
    with pytest.raises(InvalidRequestError, match=broken):
        read(a_text_profile(), message)


def test_a_cap_below_one_is_left_to_triton():
    with pytest.raises(InvalidRequestError):
        read(a_text_profile(), a_request(max_tokens=0))


def an_engine_request(**values):
    message = ModelInferRequest(model_name="tensorrt_llm", id="c1")
    for name, value in values.items():
        kind = "BOOL" if isinstance(value, bool) else "INT32"
        message.inputs.add(name=name, datatype=kind, shape=[1, 1])
        message.raw_input_contents.append(struct.pack("<?" if kind == "BOOL" else "<i", value))
    return message


def an_engine_profile():
    inputs = ("input_ids", "input_lengths", "request_output_len", "stop", "streaming")
    return TokenProfile(a_description(inputs=inputs, outputs=("output_ids",), platform=""))


def test_the_engine_itself_knows_its_prompts_length():
    message = an_engine_request(input_ids=5, input_lengths=12, request_output_len=30, streaming=True)
    request = read(an_engine_profile(), message)
    assert (request.prompt, request.prompt_tokens, request.max_tokens) == ("", 12, 30)
    assert request.counts_tokens


def test_a_stop_request_is_an_order():
    message = an_engine_request(input_ids=0, input_lengths=0, request_output_len=0, stop=True)
    with pytest.raises(StopOrderError) as caught:
        read(an_engine_profile(), message)
    assert caught.value.client_id == "c1"


def test_profiles_are_chosen_by_tensors_not_by_name():
    engine = a_description(inputs=("input_ids", "input_lengths", "request_output_len"), platform="")
    assert isinstance(choose_profile(engine, None, AUTOMATIC), TokenProfile)
    assert is_engine(engine)
    text = choose_profile(a_description(), "engine", AUTOMATIC)
    assert isinstance(text, TextProfile)
    assert text.cancelling.stop_model == "engine"
    assert choose_profile(a_description(platform="python"), "engine", AUTOMATIC) is None
    assert choose_profile(a_description(inputs=("a",)), "engine", AUTOMATIC) is None
