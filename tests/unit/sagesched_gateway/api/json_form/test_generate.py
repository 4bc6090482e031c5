from __future__ import annotations

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_gateway.api.json_form.generate import request_from_json, response_to_json, to_bytes
from sagesched_gateway.api.json_form.tensors import pack, unpack
from sagesched_gateway.errors import InternalError, InvalidRequestError
from sagesched_gateway.kserve import ModelInferRequest, ModelInferResponse


@pytest.fixture
def read(metadata):
    def reader(body: object) -> ModelInferRequest:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return request_from_json(raw, metadata, model="ensemble", version="1")

    return reader


def tensors(request: ModelInferRequest) -> dict[str, tuple[str, list[int], bytes]]:
    return {
        tensor.name: (tensor.datatype, list(tensor.shape), raw)
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }


def text(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def test_names_of_inputs_become_tensors_and_the_rest_parameters(read):
    request = read(
        {
            "id": "abc",
            "text_input": "hé",
            "max_tokens": 5,
            "stop_words": ["a", "bc"],
            "stream": True,
            "foo": 3,
            "ratio": 1.5,
            "parameters": {"seed": 2**64 - 1, "temperature": 1, "flag": False, "bar": "x"},
        }
    )
    assert (request.model_name, request.model_version, request.id) == ("ensemble", "1", "abc")
    assert tensors(request) == {
        "text_input": ("BYTES", [1, 1], text("hé")),
        "max_tokens": ("INT32", [1, 1], struct.pack("<i", 5)),
        "stop_words": ("BYTES", [1, 2], text("a", "bc")),
        "stream": ("BOOL", [1, 1], b"\x01"),
        "seed": ("UINT64", [1, 1], b"\xff" * 8),
        "temperature": ("FP32", [1, 1], struct.pack("<f", 1.0)),
    }
    # The id is a parameter too: Triton's own front end hands it on like that.
    parameters = {
        name: getattr(p, p.WhichOneof("parameter_choice")) for name, p in request.parameters.items()
    }
    assert parameters == {"id": "abc", "foo": 3, "ratio": 1.5, "flag": False, "bar": "x"}
    assert request.parameters["flag"].WhichOneof("parameter_choice") == "bool_param"


@pytest.mark.parametrize(
    ("name", "value", "shape"),
    [
        ("text_input", ["hi"], [1, 1]),
        ("text_input", [["hi"]], [1, 1]),
        ("text_input", ["hi", "ho"], [2, 1]),
        ("stop_words", [], [1, 0]),
        ("lora_config", [1, 2, 3, 4, 5, 6], [1, 2, 3]),
        ("lora_config", [[1, 2, 3], [4, 5, 6]], [1, 2, 3]),
        ("lora_config", [], [1, 0, 3]),
    ],
)
def test_a_list_is_spread_over_the_shape_from_inside_out(read, name, value, shape):
    assert tensors(read({name: value}))[name][1] == shape


def test_a_shape_without_open_dimensions_must_be_filled(metadata):
    del metadata.inputs[:]
    metadata.inputs.add(name="pair", datatype="FP64", shape=[2])
    metadata.inputs.add(name="none", datatype="FP64", shape=[0])
    request = request_from_json(b'{"pair": [1, NaN]}', metadata, model="m")
    low, high = struct.unpack("<2d", request.raw_input_contents[0])
    assert (low, math.isnan(high)) == (1.0, True)
    for body in (b'{"pair": 1}', b'{"pair": []}', b'{"pair": [1, 2, 3, 4]}', b'{"none": []}'):
        with pytest.raises(InvalidRequestError, match="to tensor with proper shape; the model wants"):
            request_from_json(body, metadata, model="m")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "failed to parse the request JSON buffer: Expecting value at 0"),
        (b"nope", "failed to parse the request JSON buffer"),
        (b'{"a":1} x', "failed to parse the request JSON buffer: Extra data at 8"),
        (b"[1]", "must be a JSON object of tensors and parameters"),
        (b'{"text_input":"\xff"}', r"is not UTF-8 text \(byte 15\)"),
        (b'{"text_input":' + b"[" * 100_000, "nested deeper than 64 levels"),
        (b'{"max_tokens":' + b"9" * 5000 + b"}", "a number is too long"),
        (b'{"max_tokens":1,"max_tokens":2}', "input 'max_tokens' already exists in request"),
        (b'{"text_input":"\\ud800"}', "'text_input': the surrogate pair in the string is invalid"),
        ({"max_tokens": 1, "parameters": {"max_tokens": 2}}, "input 'max_tokens' already exists"),
        ({"id": 5}, "Unable to parse 'id': it must be a string"),
        ({"text_input": 5}, "'text_input' must be a string or a list of strings, not 5"),
        ({"text_input": [["a", 1]]}, "'text_input' must be a string"),
        ({"max_tokens": "1"}, "'max_tokens' wants whole numbers, not \"1\""),
        ({"max_tokens": 1.0}, "'max_tokens' wants whole numbers, not 1.0"),
        ({"max_tokens": True}, "'max_tokens' wants whole numbers, not true"),
        ({"max_tokens": None}, "'max_tokens' wants whole numbers, not null"),
        ({"max_tokens": 2**31}, "input 'max_tokens': a value is out of range for INT32"),
        ({"seed": -1}, "input 'seed': a value is out of range for UINT64"),
        ({"stream": 1}, "'stream' wants true or false, not 1"),
        ({"temperature": "a"}, "'temperature' wants numbers"),
        ({"temperature": 1e300}, "a value is out of range for FP32"),
        ({"temperature": 10**400}, "'temperature': a value is out of range"),
        ({"prompt_embedding_table": [1.0]}, "receiving FP16 data via JSON is not supported"),
        ({"lora_config": [1, 2]}, "The schema can not convert input 'lora_config' to tensor"),
        ({"x": None}, "parameter 'x' has invalid type"),
        ({"x": [1]}, "parameter 'x' has invalid type"),
        ({"parameters": 3}, "Expected JSON object for keyword: 'parameters'"),
        ({"parameters": {"parameters": {}}}, "parameter 'parameters' has invalid type"),
        ({"triton_enable_empty_final_response": True}, "are reserved for Triton"),
        (b'{"\\ud800": 1}', "the surrogate pair in the string is invalid"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(read, body, complaint):
    with pytest.raises(InvalidRequestError, match=complaint):
        read(body)


def test_lists_deeper_than_any_tensor_are_refused(read):
    with pytest.raises(InvalidRequestError, match="nested too deep"):
        read(b'{"text_input":' + b"[" * 50 + b"]" * 50 + b"}")


def test_an_integer_parameter_beyond_64_bits_becomes_a_double_as_on_triton(read):
    assert read({"x": 2**64 - 1}).parameters["x"].double_param == 2.0**64


def response_with(name: str, datatype: str, shape: list[int], raw: bytes) -> ModelInferResponse:
    response = ModelInferResponse(model_name="m", model_version="2")
    response.outputs.add(name=name, datatype=datatype, shape=shape)
    response.raw_output_contents.append(raw)
    return response


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "value"),
    [
        ("INT32", [1, 1], struct.pack("<i", -7), -7),
        ("UINT8", [1, 2], b"\x01\xff", [1, 255]),
        ("INT64", [1], struct.pack("<q", 2**60), 2**60),
        ("FP32", [1, 2], struct.pack("<2f", 0.1, -1.5), [0.10000000149011612, -1.5]),
        ("BOOL", [1, 1], b"\x01", True),
        ("BYTES", [1, 2], text("a", "é"), ["a", "é"]),
        ("INT32", [1, 0], b"", []),
        ("BYTES", [0], b"", []),
        ("INT16", [], struct.pack("<h", 3), 3),
    ],
)
def test_one_element_is_a_scalar_and_more_are_a_list(datatype, shape, raw, value):
    assert response_to_json(response_with("out", datatype, shape, raw))["out"] == value


def test_the_object_is_as_triton_writes_it(respond):
    response = respond('é"\n\x1b/<', request_id="q")
    assert (
        to_bytes(response_to_json(response))
        == (
            '{"id":"q","model_name":"ensemble","model_version":"1","sequence_id":0,'
            '"text_output":"é\\"\\n\\u001b/<"}'
        ).encode()
    )


def test_an_absent_id_and_an_empty_parameter_are_left_out(respond):
    response = respond()
    response.parameters["nothing"].SetInParent()
    assert set(response_to_json(response)) == {"model_name", "model_version", "sequence_id", "text_output"}


def test_bytes_that_are_not_text_pass_as_they_are():
    response = response_with("out", "BYTES", [1, 1], struct.pack("<I", 4) + b"\xff\xfeab")
    assert b'"out":"\xff\xfeab"' in to_bytes(response_to_json(response))


def test_not_a_number_is_written_as_triton_does():
    response = response_with("out", "FP32", [2], struct.pack("<2f", math.nan, math.inf))
    assert b'"out":[NaN,Infinity]' in to_bytes(response_to_json(response))


def test_names_that_collide_keep_what_triton_keeps(respond):
    response = respond("text")
    response.parameters["text_output"].string_param = "parameter"
    response.parameters["model_name"].string_param = "parameter"
    result = response_to_json(response)
    assert (result["text_output"], result["model_name"]) == ("parameter", "ensemble")


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("INT32", [2], b"1234"),
        ("BYTES", [2], text("a")),
        ("BYTES", [1], b"\xff\xff\xff\xff"),
        ("BYTES", [1], b"1"),
    ],
)
def test_contents_that_do_not_match_their_shape_are_our_fault(datatype, shape, raw):
    with pytest.raises(InternalError, match="does not match size of output for 'out'"):
        response_to_json(response_with("out", datatype, shape, raw))


def test_contents_that_are_missing_are_our_fault():
    response = response_with("out", "INT32", [1], b"1234")
    del response.raw_output_contents[:]
    with pytest.raises(InternalError, match="without their contents"):
        response_to_json(response)


def test_half_floats_cannot_be_sent():
    with pytest.raises(InvalidRequestError, match="sending FP16 data via JSON is not supported"):
        response_to_json(response_with("out", "FP16", [1], b"12"))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_strings_survive_both_ways(values):
    assert unpack("x", "BYTES", len(values), pack("x", "BYTES", values)) == values


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_numbers_survive_both_ways(values):
    assert unpack("x", "INT32", len(values), pack("x", "INT32", values)) == values
