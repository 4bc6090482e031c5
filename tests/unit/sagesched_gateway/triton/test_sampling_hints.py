"""How an answer is sampled, read from the tensors of each kind of model; nothing is ever refused for it."""

from __future__ import annotations

import struct

import pytest
from profile_builders import BLS, ENGINE, LLMAPI, a_model, read

from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.triton.profiles.inflight_batcher import TextProfile, TokenProfile
from sagesched_gateway.triton.profiles.llmapi import LlmApiProfile

ENSEMBLE = TextProfile(a_model(BLS), None)


def a_request(cap="max_tokens", **numbers):
    message = ModelInferRequest(model_name="model")
    message.inputs.add(name="text_input", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(
        b"hi"
    )
    message.inputs.add(name=cap, datatype="INT32", shape=[1, 1]).contents.int_contents.append(9)
    for name, value in numbers.items():
        is_whole = isinstance(value, int)
        tensor = message.inputs.add(name=name, datatype="INT32" if is_whole else "FP32", shape=[1, 1])
        (tensor.contents.int_contents if is_whole else tensor.contents.fp32_contents).append(value)
    return message


@pytest.mark.parametrize(
    ("numbers", "temperature", "top_p"),
    [
        ({}, None, None),
        ({"temperature": 0.5, "top_p": 0.25}, 0.5, 0.25),
        ({"temperature": 0.5, "top_k": 1}, 0.0, None),
        ({"temperature": 0.5, "top_k": 40}, 0.5, None),
        ({"temperature": float("nan"), "top_p": float("inf")}, None, None),
    ],
)
def test_typed_tensors(numbers, temperature, top_p):
    request = read(ENSEMBLE, a_request(**numbers))
    assert (request.temperature, request.top_p) == (temperature, top_p)


def test_raw_tensors():
    message = ModelInferRequest(model_name="model")
    for name, datatype, raw in (
        ("text_input", "BYTES", struct.pack("<I", 2) + b"hi"),
        ("max_tokens", "INT32", struct.pack("<i", 9)),
        ("temperature", "FP32", struct.pack("<f", 0.75)),
        ("top_p", "FP32", b""),
    ):
        message.inputs.add(name=name, datatype=datatype, shape=[1, 1])
        message.raw_input_contents.append(raw)
    request = read(ENSEMBLE, message)
    assert (request.temperature, request.top_p, request.wants_json) == (0.75, None, False)


def test_a_schema():
    message = a_request()
    guide = message.inputs.add(name="guided_decoding_guide", datatype="BYTES", shape=[1, 1])
    guide.contents.bytes_contents.append(b"{}")
    assert read(ENSEMBLE, message).wants_json


def test_other_kinds_have_other_names():
    llmapi = a_request("sampling_param_max_tokens", sampling_param_temperature=0.5)
    assert read(LlmApiProfile(a_model(LLMAPI)), llmapi).temperature == 0.5
    tokens = ModelInferRequest(model_name="model")
    for name, value in (
        ("input_ids", 5),
        ("input_lengths", 1),
        ("request_output_len", 9),
        ("runtime_top_k", 1),
    ):
        tokens.inputs.add(name=name, datatype="INT32", shape=[1, 1]).contents.int_contents.append(value)
    assert read(TokenProfile(a_model(ENGINE)), tokens).temperature == 0.0
