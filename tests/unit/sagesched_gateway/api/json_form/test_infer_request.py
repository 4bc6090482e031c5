"""Bodies are built by tritonclient wherever it can build them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tritonclient.http as triton_http

from sagesched_gateway.api.json_form.infer_request import header_length, request_from_infer
from sagesched_gateway.errors import InvalidRequestError


def an_input(name: str, values: list[object], datatype: str, *, binary: bool) -> triton_http.InferInput:
    array = np.array(values, dtype=_DTYPES[datatype])
    tensor = triton_http.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


_DTYPES = {
    "BYTES": np.object_,
    "INT32": np.int32,
    "UINT64": np.uint64,
    "FP32": np.float32,
    "FP16": np.float16,
    "BOOL": np.bool_,
}


def read(inputs, outputs=None, **options):
    body, head = triton_http.InferenceServerClient.generate_request_body(inputs, outputs=outputs, **options)
    return request_from_infer(bytes(body), header_length(head and str(head), len(body)), model="m")


@pytest.mark.parametrize("binary", [True, False])
def test_tensors_become_raw_contents(binary):
    message, _ = read(
        [
            an_input("text", [["Hé ☃".encode()]], "BYTES", binary=binary),
            an_input("cap", [[5]], "INT32", binary=not binary),
            an_input("seed", [2**64 - 1], "UINT64", binary=binary),
            an_input("warm", [0.5, -1], "FP32", binary=binary),
            an_input("stream", [True], "BOOL", binary=binary),
        ]
    )
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in message.inputs] == [
        ("text", "BYTES", [1, 1]),
        ("cap", "INT32", [1, 1]),
        ("seed", "UINT64", [1]),
        ("warm", "FP32", [2]),
        ("stream", "BOOL", [1]),
    ]
    text = "Hé ☃".encode()
    assert list(message.raw_input_contents) == [
        len(text).to_bytes(4, "little") + text,
        b"\x05\0\0\0",
        b"\xff" * 8,
        np.array([0.5, -1], dtype=np.float32).tobytes(),
        b"\x01",
    ]


def test_half_precision_comes_in_binary():
    message, _ = read([an_input("embedding", [1.5], "FP16", binary=True)])
    assert list(message.raw_input_contents) == [np.array([1.5], dtype=np.float16).tobytes()]


def test_id_and_parameters_are_read():
    message, _ = read(
        [an_input("cap", [5], "INT32", binary=True)],
        request_id="mine",
        sequence_id=7,
        sequence_start=True,
        priority=2,
        timeout=1000,
        parameters={"custom": "x", "flag": True, "share": 0.5},
    )
    assert message.id == "mine"
    values = {
        name: getattr(parameter, parameter.WhichOneof("parameter_choice"))
        for name, parameter in message.parameters.items()
    }
    assert values == {
        "sequence_id": 7,
        "sequence_start": True,
        "sequence_end": False,
        "priority": 2,
        "timeout": 1000,
        "custom": "x",
        "flag": True,
        "share": 0.5,
    }


def test_kinds_of_outputs_are_kept():
    _, by_default = read([an_input("cap", [5], "INT32", binary=True)])
    assert by_default.is_binary("anything")
    outputs = [
        triton_http.InferRequestedOutput("a"),
        triton_http.InferRequestedOutput("b", binary_data=False),
    ]
    outputs.append(triton_http.InferRequestedOutput("c", class_count=3))
    message, kinds = read([an_input("cap", [5], "INT32", binary=True)], outputs)
    assert [output.name for output in message.outputs] == ["a", "b", "c"]
    assert message.outputs[2].parameters["classification"].int64_param == 3
    assert [kinds.is_binary(name) for name in ("a", "b", "other")] == [True, False, False]


def test_shared_memory_is_passed_on():
    tensor = triton_http.InferInput("image", [1, 4], "UINT8")
    tensor.set_shared_memory("region", 4, offset=8)
    output = triton_http.InferRequestedOutput("out")
    output.set_shared_memory("other", 16)
    message, kinds = read([tensor, an_input("cap", [5], "INT32", binary=True)], [output])
    parameters = message.inputs[0].parameters
    assert parameters["shared_memory_region"].string_param == "region"
    assert parameters["shared_memory_offset"].int64_param == 8
    assert parameters["shared_memory_byte_size"].int64_param == 4
    assert list(message.raw_input_contents) == [b"\x05\0\0\0"]
    assert kinds.shared == {"out"}
    assert message.outputs[0].parameters["shared_memory_region"].string_param == "other"


def test_without_elements_there_is_no_data():
    message, _ = request_from_json_of({"name": "a", "datatype": "INT32", "shape": [0], "data": []})
    assert list(message.raw_input_contents) == [b""]


def request_from_json_of(*inputs: object, tail: bytes = b"", **members: object):
    head = json.dumps({"inputs": inputs} | members).encode()
    return request_from_infer(head + tail, len(head), model="m")


A = {"name": "a", "datatype": "INT32", "shape": [1]}


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        (7, "Unable to parse 'inputs'"),
        ({}, "Unable to parse 'name'"),
        (A, "sets none of them"),
        (A | {"data": [1], "parameters": {"binary_data_size": 4}}, "sets data, binary_data_size"),
        (A | {"data": 1}, "Unable to parse 'data'"),
        (A | {"data": [1, 2]}, "Shape does not match true shape of 'data' field of input 'a'"),
        (A | {"data": ["1"]}, "'a' wants whole numbers"),
        (A | {"data": [2**40]}, "input 'a': a value is out of range for INT32"),
        (A | {"data": [1], "shape": [-1]}, "Unable to parse 'shape'"),
        (A | {"data": [1], "shape": "x"}, "Unable to parse 'shape'"),
        (A | {"data": [1], "shape": [10**30]}, "Unable to parse 'shape'"),
        (A | {"data": [1], "shape": [2**40, 2**40]}, "Shape does not match"),
        (A | {"data": [1], "datatype": "FP16"}, "receiving FP16 data via JSON is not supported"),
        (A | {"data": [1], "datatype": 3}, "Unable to parse 'datatype'"),
        (A | {"data": [1], "parameters": 3}, "Unable to parse 'parameters'"),
        (A | {"parameters": {"binary_data_size": 4}}, "expecting 4 additional bytes"),
        (A | {"parameters": {"binary_data_size": True}}, "Unable to parse 'binary_data_size'"),
        (A | {"parameters": {"binary_data_size": -1}}, "Unable to parse 'binary_data_size'"),
        (A | {"parameters": {"shared_memory_region": 1}}, "Unable to parse 'shared_memory_region'"),
    ],
)
def test_inputs_that_cannot_be_read_are_refused(item, complaint):
    with pytest.raises(InvalidRequestError, match=complaint):
        request_from_json_of(item)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"id": 7}, "Unable to parse 'id'"),
        ({"parameters": [1]}, "Unable to parse 'parameters'"),
        ({"parameters": {"triton_x": 1}}, "reserved for Triton"),
        ({"parameters": {"x": [1]}}, "parameter 'x' has invalid type"),
        ({"parameters": {"binary_data_output": 1}}, "Unable to parse 'binary_data_output'"),
        ({"outputs": 7}, "Unable to parse 'outputs'"),
        ({"outputs": [{"name": 1}]}, "Unable to parse 'name'"),
        ({"outputs": [{"name": "o", "parameters": {"binary_data": 1}}]}, "Unable to parse 'binary_data'"),
        ({"outputs": [{"name": "o", "parameters": {"classification": "x"}}]}, "'classification'"),
        (
            {"outputs": [{"name": "o", "parameters": {"shared_memory_region": "r", "binary_data": True}}]},
            "can't set both 'shared_memory_region' and 'binary_data'",
        ),
    ],
)
def test_members_that_cannot_be_read_are_refused(members, complaint):
    with pytest.raises(InvalidRequestError, match=complaint):
        request_from_json_of(A | {"data": [1]}, **members)


@pytest.mark.parametrize(
    "body", [b"nope", b"[]", b"{}", b'{"inputs":{}}', b"\xff", b'{"inputs":' + b"[" * 9999]
)
def test_what_is_no_request_is_refused(body):
    with pytest.raises(InvalidRequestError):
        request_from_infer(body, len(body), model="m")


def test_bytes_left_over_are_refused():
    with pytest.raises(InvalidRequestError, match="unexpected additional input data for model 'm'"):
        request_from_json_of(A | {"data": [1]}, tail=b"x")


def test_a_raw_request_is_refused():
    with pytest.raises(InvalidRequestError, match="'Inference-Header-Content-Length' must tell"):
        request_from_infer(b"raw", 0, model="m")


def test_the_head_has_a_length():
    assert header_length(None, 10) == 10
    assert header_length("7", 10) == 7


@pytest.mark.parametrize("told", ["11", "-1", "x", "", "1.0", "9" * 5000, "\u0667"])
def test_a_head_longer_than_the_body_is_refused(told):
    with pytest.raises(InvalidRequestError, match=r"inference header size should be in range \(0, 10\)"):
        header_length(told, 10)
