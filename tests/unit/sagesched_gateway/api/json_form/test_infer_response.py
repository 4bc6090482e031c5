"""Bodies are read by tritonclient."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tritonclient.http as triton_http

from sagesched_gateway.api.json_form.infer_request import OutputKinds
from sagesched_gateway.api.json_form.infer_response import response_to_infer
from sagesched_gateway.errors import InternalError, InvalidRequestError
from sagesched_gateway.kserve import ModelInferResponse


@pytest.fixture
def response() -> ModelInferResponse:
    response = ModelInferResponse(model_name="m", model_version="1", id="mine")
    response.parameters["triton_final_response"].bool_param = True
    response.parameters["custom"].int64_param = 7
    for name, datatype, shape, raw in (
        ("text", "BYTES", [1, 1], struct.pack("<I", 3) + b"h\xffo"),
        ("count", "INT32", [2], struct.pack("<2i", 5, -6)),
    ):
        response.outputs.add(name=name, datatype=datatype, shape=shape)
        response.raw_output_contents.append(raw)
    return response


def test_json_is_as_triton_writes_it(response):
    body, head_bytes = response_to_infer(response, OutputKinds())
    assert head_bytes is None
    assert body == (
        b'{"id":"mine","model_name":"m","model_version":"1","parameters":{"custom":7},"outputs":['
        b'{"name":"text","datatype":"BYTES","shape":[1,1],"data":["h\xffo"]},'
        b'{"name":"count","datatype":"INT32","shape":[2],"data":[5,-6]}]}'
    )


def test_raw_tensors_follow_in_order(response):
    body, head_bytes = response_to_infer(response, OutputKinds(binary_default=True))
    result = triton_http.InferenceServerClient.parse_response_body(body, header_length=head_bytes)
    assert result.as_numpy("count").tolist() == [5, -6]
    assert result.as_numpy("text").tolist() == [[b"h\xffo"]]
    sizes = [output["parameters"] for output in result.get_response()["outputs"]]
    assert sizes == [{"binary_data_size": 7}, {"binary_data_size": 8}]


def test_kinds_may_differ(response):
    body, head_bytes = response_to_infer(response, OutputKinds(binary={"count": True}))
    assert body[head_bytes:] == np.array([5, -6], dtype=np.int32).tobytes()
    assert b'"data":["h\xffo"]' in body[:head_bytes]


def test_an_empty_raw_tensor_needs_no_header(response):
    response.outputs.pop()
    response.raw_output_contents.pop()
    response.outputs[0].shape[0] = 0
    response.raw_output_contents[0] = b""
    body, head_bytes = response_to_infer(response, OutputKinds(binary_default=True))
    assert head_bytes is None
    assert b'"parameters":{"binary_data_size":0}' in body


def test_outputs_in_shared_memory_have_no_contents(response):
    response.raw_output_contents[1] = b""
    body, _ = response_to_infer(response, OutputKinds(shared=frozenset({"count"})))
    assert b'{"name":"count","datatype":"INT32","shape":[2]}]' in body


def test_what_json_cannot_carry_is_named(response):
    response.outputs[1].datatype = "FP16"
    with pytest.raises(InvalidRequestError, match="sending FP16 data via JSON is not supported"):
        response_to_infer(response, OutputKinds())


def test_contents_that_do_not_match_are_our_fault(response):
    response.raw_output_contents[1] = b"x"
    with pytest.raises(InternalError, match="'count'"):
        response_to_infer(response, OutputKinds())
    response.raw_output_contents.pop()
    with pytest.raises(InternalError, match="without their contents"):
        response_to_infer(response, OutputKinds())
