import pytest
from google.protobuf.message import DecodeError

from sagesched_gateway.errors import InvalidRequestError, TooLargeError
from sagesched_gateway.kserve import MOST_VALUES, ModelInferRequest
from sagesched_gateway.text_tensors import MOST_TENSORS, refuse_cut_texts, refuse_many_fields


def a_message(*contents: bytes, datatype: str = "BYTES") -> ModelInferRequest:
    message = ModelInferRequest()
    for number, raw in enumerate(contents):
        message.inputs.add(name=f"t{number}", datatype=datatype, shape=[1, 1])
        message.raw_input_contents.append(raw)
    return message


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="no element"),
        pytest.param(b"\x00\x00\x00\x00", id="an empty text"),
        pytest.param(b"\x02\x00\x00\x00ab", id="a text"),
        pytest.param(b"\x01\x00\x00\x00a\x02\x00\x00\x00bc", id="two"),
        pytest.param(b"\x01\x00\x00\x00a\x02", id="half a length, which Triton itself refuses"),
    ],
)
def test_what_does_no_harm_is_left_to_triton(raw):
    refuse_cut_texts(a_message(raw))


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\x7fabc", b"\x01\x00\x00\x00a\x03\x00\x00\x00bc"])
def test_a_text_longer_than_its_bytes_is_refused_by_name(raw):
    with pytest.raises(InvalidRequestError, match="incomplete string data for inference input 't1'"):
        refuse_cut_texts(a_message(b"\x00\x00\x00\x00", raw))


def test_numbers_and_typed_tensors_are_no_texts():
    refuse_cut_texts(a_message(b"\xff\xff\xff\x7f", datatype="INT32"))
    message = ModelInferRequest()
    message.inputs.add(name="t", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"abc")
    refuse_cut_texts(message)


def test_shared_memory_takes_no_place_among_the_raw_contents():
    message = a_message(b"\xff\xff\xff\x7fabc")
    shared = ModelInferRequest()
    shared.inputs.add(name="s", datatype="BYTES").parameters["shared_memory_region"].string_param = "r"
    shared.inputs.extend(message.inputs)
    shared.raw_input_contents.extend(message.raw_input_contents)
    with pytest.raises(InvalidRequestError, match="'t0'"):
        refuse_cut_texts(shared)


def test_less_contents_than_tensors_are_left_to_triton():
    message = a_message(b"\x00\x00\x00\x00", b"")
    del message.raw_input_contents[1]
    refuse_cut_texts(message)


def test_millions_of_texts_are_refused_before_all_are_looked_at():
    empty = b"\0\0\0\0"
    refuse_cut_texts(a_message(empty * MOST_VALUES))
    with pytest.raises(TooLargeError, match="input 't0' holds more than 1048576 texts"):
        refuse_cut_texts(a_message(empty * (MOST_VALUES + 1) + b"\xff\xff\xff\x7f"))


@pytest.mark.parametrize("field", [b"\x2a\x00", b"\x32\x00"], ids=["inputs", "outputs"])
def test_thousands_of_tensors_are_refused_whatever_they_hold(field):
    refuse_cut_texts(ModelInferRequest.FromString(field * MOST_TENSORS))
    with pytest.raises(TooLargeError, match="may have 1024 inputs, outputs and parameters"):
        refuse_cut_texts(ModelInferRequest.FromString(field * (MOST_TENSORS + 1)))


def test_a_large_body_of_small_fields_is_refused_before_it_is_decoded():
    refuse_many_fields(b"\x2a\x00" * 1000)
    with pytest.raises(TooLargeError, match="may have 1024 inputs, outputs and parameters"):
        refuse_many_fields(b"\x2a\x00" * 2**20)


def test_a_large_body_of_few_fields_is_let_through():
    message = a_message(*[b"\0" * 4096 for _ in range(MOST_TENSORS)], datatype="INT8")
    message.id, message.model_name = "id", "m"
    message.parameters["a"].int64_param = -1
    body = message.SerializeToString()
    assert len(body) > 2**20
    refuse_many_fields(body)
    refuse_many_fields(body[:-1])  # the decoder says what is wrong with it


@pytest.mark.parametrize("byte", [b"\xff", b"\x00", b"\x0b"])
def test_a_large_body_that_is_no_message_is_left_to_the_decoder_or_refused(byte):
    try:
        refuse_many_fields(byte * 2**21)
    except TooLargeError:
        return
    with pytest.raises(DecodeError):
        ModelInferRequest.FromString(byte * 2**21)
