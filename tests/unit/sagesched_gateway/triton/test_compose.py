"""From a prompt and how to sample to tensors of the classic ensemble, and from its responses to text."""

from __future__ import annotations

import struct

import pytest

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError, UpstreamError
from sagesched_gateway.kserve import ModelConfigResponse, ModelInferResponse, ModelMetadataResponse
from sagesched_gateway.text import Sampling
from sagesched_gateway.triton.profiles.base import ModelDescription
from sagesched_gateway.triton.profiles.inflight_batcher import TextProfile

ENSEMBLE = {
    "text_input": "BYTES",
    "max_tokens": "INT32",
    "stream": "BOOL",
    "exclude_input_in_output": "BOOL",
    "temperature": "FP32",
    "top_p": "FP32",
    "top_k": "INT32",
    "seed": "UINT64",
    "presence_penalty": "FP32",
    "frequency_penalty": "FP32",
    "stop_words": "BYTES",
    "guided_decoding_guide_type": "BYTES",
    "guided_decoding_guide": "BYTES",
    "return_num_input_tokens": "BOOL",
    "return_num_output_tokens": "BOOL",
}
OLD = {"text_input": "BYTES", "max_tokens": "UINT32", "stream": "BOOL"}
GREEDY = Sampling(max_tokens=9)


def an_ensemble(inputs=ENSEMBLE, outputs=("text_output", "num_input_tokens", "num_output_tokens"), batch=8):
    metadata = ModelMetadataResponse(name="ensemble")
    for name, datatype in inputs.items():
        metadata.inputs.add(name=name, datatype=datatype)
    for name in outputs:
        metadata.outputs.add(name=name)
    config = ModelConfigResponse()
    config.config.platform = "ensemble"
    config.config.max_batch_size = batch
    return TextProfile(ModelDescription.of(metadata, config), "tensorrt_llm")


def tensors(message):
    """Name to (datatype, shape, values)."""
    found = {}
    for tensor in message.inputs:
        ((_, values),) = tensor.contents.ListFields()
        found[tensor.name] = (tensor.datatype, list(tensor.shape), list(values))
    return found


def composed(sampling, **ensemble):
    return tensors(an_ensemble(**ensemble).compose("ensemble", "hi", sampling))


def test_all_that_can_be_asked_becomes_tensors():
    sampling = Sampling(
        max_tokens=9,
        stream=True,
        temperature=0.5,
        top_p=0.25,
        top_k=40,
        stop=("\n", "END"),
        seed=-1,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        json_schema="{}",
    )
    assert composed(sampling) == {
        "text_input": ("BYTES", [1, 1], [b"hi"]),
        "max_tokens": ("INT32", [1, 1], [9]),
        "stream": ("BOOL", [1, 1], [True]),
        "exclude_input_in_output": ("BOOL", [1, 1], [True]),
        "temperature": ("FP32", [1, 1], [0.5]),
        "top_p": ("FP32", [1, 1], [0.25]),
        "top_k": ("INT32", [1, 1], [40]),
        "seed": ("UINT64", [1, 1], [2**64 - 1]),
        "presence_penalty": ("FP32", [1, 1], [0.5]),
        "frequency_penalty": ("FP32", [1, 1], [-0.5]),
        "stop_words": ("BYTES", [1, 2], [b"\n", b"END"]),
        "guided_decoding_guide_type": ("BYTES", [1, 1], [b"json_schema"]),
        "guided_decoding_guide": ("BYTES", [1, 1], [b"{}"]),
        "return_num_input_tokens": ("BOOL", [1, 1], [True]),
        "return_num_output_tokens": ("BOOL", [1, 1], [True]),
    }


def test_what_nobody_asked_for_is_left_to_the_model():
    assert set(composed(GREEDY)) == {
        "text_input",
        "max_tokens",
        "exclude_input_in_output",
        "return_num_input_tokens",
        "return_num_output_tokens",
    }


def test_temperature_zero_is_the_best_token_alone():
    found = composed(Sampling(max_tokens=9, temperature=0, top_k=40))
    assert found["top_k"][2] == [1]
    assert "temperature" not in found


def test_an_old_ensemble_gets_what_it_knows_in_its_own_datatypes():
    assert composed(GREEDY, inputs=OLD, outputs=("text_output",), batch=0) == {
        "text_input": ("BYTES", [1], [b"hi"]),
        "max_tokens": ("UINT32", [1], [9]),
    }


def test_values_that_change_nothing_are_not_refused():
    neutral = Sampling(max_tokens=9, temperature=1.0, top_p=1, presence_penalty=0, frequency_penalty=0)
    assert set(composed(neutral, inputs=OLD)) == {"text_input", "max_tokens"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0),
        ("temperature", 0.5),
        ("top_p", 0.5),
        ("top_k", 3),
        ("seed", 1),
        ("stop", ("x",)),
        ("presence_penalty", 1.0),
        ("frequency_penalty", 1.0),
        ("json_schema", "{}"),
        ("n", 2),
        ("logprobs", True),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(field, value):
    with pytest.raises(UnsupportedError, match=f"model 'ensemble' cannot take {field}"):
        composed(Sampling(max_tokens=9, **{field: value}), inputs=OLD)


@pytest.mark.parametrize("field", ["n", "logprobs"])
def test_several_answers_and_log_probabilities_are_refused_always(field):
    with pytest.raises(UnsupportedError, match=field):
        composed(Sampling(max_tokens=9, **{field: 2}))


def test_a_number_beyond_its_datatype_is_the_callers_fault():
    with pytest.raises(InvalidRequestError, match="max_tokens does not fit the model's INT32"):
        composed(Sampling(max_tokens=2**31))


def test_half_a_surrogate_pair_is_the_callers_fault():
    with pytest.raises(InvalidRequestError, match="the prompt does not fit"):
        an_ensemble().compose("ensemble", "\ud800", GREEDY)


def test_what_is_composed_can_be_read_again():
    profile = an_ensemble()
    message = profile.compose("ensemble", "hi", Sampling(max_tokens=9, stream=True))
    request = profile.read(message, message.SerializeToString(), "up", ())
    assert (request.prompt, request.max_tokens, request.hidden_outputs) == ("hi", 9, frozenset())
    assert not request.echoes_prompt


def a_response(text: bytes | None, **counts):
    response = ModelInferResponse(model_name="ensemble")
    if text is not None:
        response.outputs.add(name="text_output", datatype="BYTES", shape=[1, 1])
        response.raw_output_contents.append(struct.pack("<I", len(text)) + text)
    for name, value in counts.items():
        response.outputs.add(name=name, datatype="INT32", shape=[1, 1])
        response.raw_output_contents.append(struct.pack("<i", value))
    return response


def test_responses_are_read_as_new_text_and_counts():
    reader = an_ensemble().text_reader()
    piece = reader.read(a_response(b"Hel", num_input_tokens=7, num_output_tokens=2))
    assert (piece.text, piece.input_tokens, piece.output_tokens) == ("Hel", 7, 2)
    piece = reader.read(a_response(b"lo"))
    assert (piece.text, piece.input_tokens, piece.output_tokens) == ("lo", None, None)
    assert reader.read(a_response(None)).text == ""
    assert reader.close().text == ""


def test_a_character_in_two_responses_comes_whole():
    reader = an_ensemble().text_reader()
    smile = "🙂".encode()
    assert reader.read(a_response(b"a" + smile[:2])).text == "a"
    assert reader.read(a_response(smile[2:])).text == "🙂"
    assert reader.read(a_response(smile[:3])).text == ""
    assert reader.close().text == "\N{REPLACEMENT CHARACTER}"


def test_a_response_without_text_is_triton_s_fault():
    with pytest.raises(UpstreamError, match="no 'text_output', only num_input_tokens"):
        an_ensemble().text_reader().read(a_response(None, num_input_tokens=7))
