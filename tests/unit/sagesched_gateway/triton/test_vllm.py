"""The vLLM backend's contract: one JSON text says how to sample, counts are UINT32 without the prompt."""

from __future__ import annotations

import json

import pytest
from profile_builders import VLLM, a_model, a_response, read, tensors

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.text import Sampling
from sagesched_gateway.triton.profiles.vllm import DEFAULT_MAX_TOKENS, MOST_TOKENS, VllmProfile

PROFILE = VllmProfile(a_model(VLLM))


def a_request(sampling=None, **flags):
    message = ModelInferRequest(model_name="model", id="c1")
    message.inputs.add(name="text_input", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"hi")
    if sampling is not None:
        tensor = message.inputs.add(name="sampling_parameters", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(sampling.encode())
    for name, value in flags.items():
        message.inputs.add(name=name, datatype="BOOL", shape=[1]).contents.bool_contents.append(value)
    return message


def test_how_to_sample_is_one_text():
    sampling = Sampling(max_tokens=9, stream=True, temperature=0, top_p=0.5, seed=-3, stop=("x",))
    found = tensors(PROFILE.compose("model", "hi", sampling))
    (text,) = found.pop("sampling_parameters")[2]
    assert json.loads(text) == {"max_tokens": 9, "temperature": 0, "top_p": 0.5, "seed": -3, "stop": ["x"]}
    assert found == {
        "text_input": ("BYTES", [1], [b"hi"]),
        "stream": ("BOOL", [1], [True]),
        "exclude_input_in_output": ("BOOL", [1], [True]),
        "return_num_input_tokens": ("BOOL", [1], [True]),
        "return_num_output_tokens": ("BOOL", [1], [True]),
        "return_finish_reason": ("BOOL", [1], [True]),
    }


@pytest.mark.parametrize(("field", "value"), [("json_schema", "{}"), ("n", 2), ("logprobs", True)])
def test_what_cannot_be_translated_is_refused(field, value):
    with pytest.raises(UnsupportedError, match=field):
        PROFILE.compose("model", "hi", Sampling(max_tokens=9, **{field: value}))


@pytest.mark.parametrize(
    ("sampling", "temperature", "top_p", "wants_json"),
    [
        (None, None, None, False),
        ("{}", None, None, False),
        ('{"temperature": 0.5, "top_p": 1}', 0.5, 1.0, False),
        ('{"temperature": 2, "top_k": 1}', 0.0, None, False),
        ('{"temperature": "hot", "guided_json": "{}"}', None, None, True),
        ('{"temperature": NaN, "top_p": Infinity}', None, None, False),
        ('{"temperature": 1' + "0" * 400 + "}", None, None, False),
    ],
)
def test_the_predictor_learns_how_it_is_sampled(sampling, temperature, top_p, wants_json):
    request = read(PROFILE, a_request(sampling))
    assert (request.temperature, request.top_p, request.wants_json) == (temperature, top_p, wants_json)


@pytest.mark.parametrize(
    ("sampling", "cap"),
    [
        (None, DEFAULT_MAX_TOKENS),
        ("{}", DEFAULT_MAX_TOKENS),
        ('{"max_tokens": 30}', 30),
        ('{"max_tokens": 30, "n": 3}', 90),
        ('{"max_tokens": null}', DEFAULT_MAX_TOKENS),
        ('{"max_tokens": 1' + "0" * 400 + "}", MOST_TOKENS),
    ],
)
def test_the_cap_is_that_of_all_answers_together(sampling, cap):
    assert read(PROFILE, a_request(sampling)).max_tokens == cap


def test_the_cap_may_be_a_parameter_of_the_request():
    message = a_request()
    message.parameters["max_tokens"].int64_param = 30
    assert read(PROFILE, message).max_tokens == 30


@pytest.mark.parametrize("sampling", ["", "[]", "{", '{"max_tokens": 0}', '{"max_tokens": "9"}', "[" * 9999])
def test_what_is_no_such_object_is_an_invalid_request(sampling):
    with pytest.raises(InvalidRequestError):
        read(PROFILE, a_request(sampling))


def test_an_echoed_prompt_is_not_among_the_counted():
    request = read(PROFILE, a_request())
    response = a_response(b"hi there", kind="UINT32", num_input_tokens=1, num_output_tokens=4)
    chunk = PROFILE.translate(response, request)
    assert (chunk.new_tokens, chunk.input_tokens) == (4, 1)
    assert [output.name for output in chunk.response.outputs] == ["text_output"]


def test_a_stream_brings_new_text():
    reader = PROFILE.text_reader()
    counted = {"kind": "UINT32", "num_input_tokens": 7, "num_output_tokens": 2}
    piece = reader.read(a_response(b"a", reason="None", **counted))
    assert (piece.text, piece.input_tokens, piece.output_tokens, piece.finish_reason) == ("a", 7, 2, None)
    assert reader.read(a_response(b"a", reason="stop")).text == "a"
