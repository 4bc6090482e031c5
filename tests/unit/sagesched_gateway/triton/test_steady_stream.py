import random
from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_gateway.kserve import FINAL_PARAMETER, ModelInferResponse, ModelStreamInferResponse
from sagesched_gateway.request import Chunk
from sagesched_gateway.triton.steady_stream import SteadyStream

COUNT = "num_output_tokens"


def a_response(
    text: bytes = b" a", *, tokens: int = 1, id: str = "up-1", final: bool = False
) -> ModelInferResponse:
    response = ModelInferResponse(model_name="ensemble", model_version="1", id=id)
    for name in ("sequence_start", "sequence_end"):
        response.parameters[name].bool_param = False
    response.parameters[FINAL_PARAMETER].bool_param = final
    add(response, "num_input_tokens", "INT32", (7).to_bytes(4, "little"))
    add(response, "text_output", "BYTES", len(text).to_bytes(4, "little") + text)
    add(response, COUNT, "INT32", tokens.to_bytes(4, "little"))
    return response


def add(response: ModelInferResponse, name: str, datatype: str, contents: bytes) -> None:
    response.outputs.add(name=name, datatype=datatype, shape=[1, 1])
    response.raw_output_contents.append(contents)


def on_the_wire(response: ModelInferResponse) -> bytes:
    encoded: bytes = ModelStreamInferResponse(infer_response=response).SerializeToString()
    return encoded


def the_long_way(message: bytes) -> Chunk:
    """What a profile does: count, take the counts away, give the caller its id back."""
    response = ModelStreamInferResponse.FromString(message).infer_response
    tokens = int.from_bytes(response.raw_output_contents[2], "little", signed=True)
    for place in (2, 0):
        del response.outputs[place], response.raw_output_contents[place]
    response.id = "mine"
    return Chunk(response, tokens, bool(response.parameters[FINAL_PARAMETER].bool_param))


def a_stream(count_output: str | None = COUNT) -> SteadyStream:
    """One that has seen two messages."""
    stream = SteadyStream(count_output)
    for text in (b"One", b" two"):
        message = on_the_wire(a_response(text))
        assert stream.forward(message) is None
        stream.learn(message, the_long_way(message))
    return stream


def in_every_order(response: ModelInferResponse) -> Iterator[bytes]:
    """The response with its parameters in every order, as no library writes it on demand."""
    message = on_the_wire(response)
    names = ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id
    )
    tensors = ModelInferResponse(outputs=response.outputs, raw_output_contents=response.raw_output_contents)
    entries = []
    for name, value in response.parameters.items():
        entry = ModelInferResponse()
        entry.parameters[name].CopyFrom(value)
        entries.append(entry)
    for order in permutations(entries):
        body = b"".join(part.SerializeToString() for part in (names, *order, tensors))
        yield message[: -len(body)] + body


@given(st.binary(max_size=400), st.integers(min_value=0, max_value=2**31 - 1))
def test_it_gives_what_the_long_way_gives(text, tokens):
    message = on_the_wire(a_response(text, tokens=tokens))
    short, long = a_stream().forward(message), the_long_way(message)
    assert ModelStreamInferResponse.FromString(short.response).infer_response == long.response
    assert (short.new_tokens, short.final, short.error) == (tokens, False, None)


def test_parameters_come_in_any_order():
    stream = a_stream()
    for message in in_every_order(a_response(b" three")):
        short, long = stream.forward(message), the_long_way(message)
        assert ModelStreamInferResponse.FromString(short.response).infer_response == long.response


def test_without_a_count_each_response_is_a_token():
    stream = SteadyStream("not_there")
    message = on_the_wire(a_response())
    for _ in range(2):
        stream.learn(message, Chunk(a_response(), 1))
    assert stream.forward(message).new_tokens == 1


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(a_response(final=True), id="the final flag"),
        pytest.param(a_response(id="up-2"), id="another id"),
        pytest.param(ModelInferResponse(model_name="ensemble", id="up-1"), id="no outputs"),
        pytest.param(ModelInferResponse(), id="nothing"),
    ],
)
def test_what_differs_goes_the_long_way(response):
    assert a_stream().forward(on_the_wire(response)) is None


def test_another_shape_goes_the_long_way():
    response = a_response()
    response.outputs[1].shape[1] = 2
    assert a_stream().forward(on_the_wire(response)) is None


def test_an_error_goes_the_long_way():
    message = ModelStreamInferResponse(error_message="no", infer_response=a_response())
    assert a_stream().forward(message.SerializeToString()) is None


def test_a_count_that_is_no_int32_goes_the_long_way():
    response = a_response()
    response.raw_output_contents[2] = b"\x01"
    assert a_stream().forward(on_the_wire(response)) is None


def test_the_long_way_is_the_only_one_where_the_profile_must_see_everything():
    assert a_stream(None).forward(on_the_wire(a_response())) is None


def test_a_profile_that_does_more_than_hide_and_count_is_never_followed():
    stream = SteadyStream(COUNT)
    message = on_the_wire(a_response())
    for _ in range(2):
        chunk = the_long_way(message)
        chunk.response.raw_output_contents[0] = b"\x03\x00\x00\x00all"
        stream.learn(message, chunk)
    assert stream.forward(message) is None


@given(st.data())
def test_fuzz_a_damaged_message_is_refused_or_read_as_protobuf_reads_it(data):
    stream = a_stream()
    message = bytearray(on_the_wire(a_response(b" some text")))
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(chance.randint(1, 3)):
        message[chance.randrange(len(message))] = chance.randrange(256)
    damaged = bytes(message[: chance.choice((len(message), chance.randrange(len(message))))])
    short = stream.forward(damaged)
    if short is not None:
        long = the_long_way(damaged)
        assert ModelStreamInferResponse.FromString(short.response).infer_response == long.response
        assert short.new_tokens == long.new_tokens
