"""Tensors in both of their forms."""

from __future__ import annotations

import struct

import pytest
from fake_triton import a_request

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError
from sagesched_gateway.kserve import MOST_VALUES, ModelInferRequest, ModelInferResponse
from sagesched_gateway.triton.tensors import Inputs, add_flag, take_counts


def one_input(datatype, *, raw=None, typed=None):
    message = ModelInferRequest()
    tensor = message.inputs.add(name="x", datatype=datatype, shape=[1, 1])
    if raw is not None:
        message.raw_input_contents.append(raw)
    if typed is not None:
        field, values = typed
        getattr(tensor.contents, field).extend(values)
    return Inputs(message)


@pytest.mark.parametrize("raw", [True, False])
def test_a_request_reads_the_same_in_both_forms(raw):
    inputs = Inputs(a_request("Grüße", max_tokens=7, raw=raw))
    assert inputs.texts("text_input") == ["Grüße"]
    assert inputs.integers("max_tokens") == [7]
    assert inputs.integers("stream") == [1]
    assert inputs.shape("text_input") == [1, 1]
    assert "text_input" in inputs
    assert "other" not in inputs


@pytest.mark.parametrize(
    ("datatype", "layout", "value"),
    [
        ("INT64", "<q", -5),
        ("UINT64", "<Q", 2**63),
        ("INT32", "<i", -1),
        ("UINT8", "<B", 255),
        ("BOOL", "<?", 1),
    ],
)
def test_raw_integers_of_all_sizes(datatype, layout, value):
    assert one_input(datatype, raw=struct.pack(layout, value)).integers("x") == [value]


@pytest.mark.parametrize(
    ("datatype", "field"),
    [("INT64", "int64_contents"), ("UINT32", "uint_contents"), ("UINT64", "uint64_contents")],
)
def test_typed_integers_of_all_sizes(datatype, field):
    assert one_input(datatype, typed=(field, [3, 4])).integers("x") == [3, 4]


def test_undecodable_text_is_replaced_not_refused():
    assert one_input("BYTES", raw=b"\x02\0\0\0a\xff").texts("x") == ["a�"]


@pytest.mark.parametrize(
    ("inputs", "read"),
    [
        (one_input("INT32", raw=b"\0\0\0"), "integers"),
        (one_input("FP32", raw=b"\0\0\0\0"), "integers"),
        (one_input("BYTES", raw=b"\x09\0\0\0abc"), "texts"),
        (one_input("BYTES", raw=b"\x09\0"), "texts"),
        (one_input("INT32", raw=b"\0\0\0\0"), "texts"),
        (Inputs(ModelInferRequest()), "texts"),
    ],
)
def test_what_cannot_be_read_is_refused(inputs, read):
    with pytest.raises(InvalidRequestError):
        getattr(inputs, read)("x")


def test_tensors_in_shared_memory_have_no_raw_entry_and_cannot_be_read():
    message = a_request("hi")
    text = message.inputs[0]
    text.parameters["shared_memory_region"].string_param = "region"
    del message.raw_input_contents[0]
    inputs = Inputs(message)
    assert inputs.integers("max_tokens") == [100]
    with pytest.raises(InvalidRequestError, match="shared memory"):
        inputs.texts("text_input")


def test_raw_contents_that_are_missing_are_refused():
    message = a_request("hi")
    del message.raw_input_contents[2]
    with pytest.raises(InvalidRequestError, match="no raw contents"):
        Inputs(message).integers("stream")


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(("batch", "shape"), [(None, [1]), (1, [1, 1]), (3, [3, 1])])
def test_an_added_flag_has_the_form_of_its_neighbours(raw, batch, shape):
    message = a_request(raw=raw)
    add_flag(message, "flag", batch=batch, raw=raw)
    inputs = Inputs(message)
    assert inputs.shape("flag") == shape
    assert inputs.integers("flag") == [1] * (batch or 1)


def a_response(**counts):
    response = ModelInferResponse()
    for name, value in counts.items():
        response.outputs.add(name=name, datatype="INT32", shape=[1, 1])
        response.raw_output_contents.append(struct.pack("<i", value))
    return response


def test_counts_are_read_and_hidden_ones_removed_with_their_bytes():
    response = a_response(first=7, text=1, second=9)
    assert take_counts(response, ("first", "second", "none"), frozenset({"first"})) == [7, 9, None]
    assert [output.name for output in response.outputs] == ["text", "second"]
    assert list(response.raw_output_contents) == [struct.pack("<i", 1), struct.pack("<i", 9)]


def test_counts_of_a_batch_are_summed_and_typed_ones_read():
    response = ModelInferResponse()
    response.outputs.add(name="n", datatype="INT32", shape=[2, 1]).contents.int_contents.extend([2, 3])
    assert take_counts(response, ("n",), frozenset({"n"})) == [5]
    raw = ModelInferResponse(raw_output_contents=[struct.pack("<ii", 2, 4)])
    raw.outputs.add(name="n", datatype="INT32", shape=[2, 1])
    assert take_counts(raw, ("n",), frozenset()) == [6]


@pytest.mark.parametrize(("datatype", "raw"), [("FP32", b"\0\0\0\0"), ("INT64", b"\0\0\0\0")])
def test_counts_that_are_none_are_not_guessed(datatype, raw):
    response = ModelInferResponse(raw_output_contents=[raw])
    response.outputs.add(name="n", datatype=datatype, shape=[1])
    assert take_counts(response, ("n",), frozenset()) == [None]


@pytest.mark.parametrize("is_raw", [True, False])
def test_masses_of_numbers_are_not_looked_at(is_raw):
    """Not as something for Triton to judge: it might take them, and the request would pass the queue by."""
    message = ModelInferRequest()
    tensor = message.inputs.add(name="max_tokens", datatype="INT32", shape=[MOST_VALUES + 1])
    if is_raw:
        message.raw_input_contents.append(b"\0\0\0\0" * (MOST_VALUES + 1))
    else:
        tensor.contents.int_contents.extend([0] * (MOST_VALUES + 1))
    with pytest.raises(UnsupportedError, match="'max_tokens' has 1048577 elements, more than 1048576"):
        Inputs(message).integers("max_tokens")


def test_masses_of_typed_texts_are_not_looked_at():
    message = ModelInferRequest()
    tensor = message.inputs.add(name="text_input", datatype="BYTES", shape=[MOST_VALUES + 1])
    tensor.contents.bytes_contents.extend([b""] * (MOST_VALUES + 1))
    with pytest.raises(UnsupportedError, match="'text_input' has 1048577 elements"):
        Inputs(message).texts("text_input")
