"""Attributes of gRPC callers: whom they are believed from, which words win, and what never reaches Triton."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from dispatch_fakes import a_message, until

from sagesched_gateway.api.grpc_face.call_attributes import host_of
from sagesched_gateway.kserve import ModelInferRequest, ModelInferResponse
from sagesched_gateway.request import NO_ATTRIBUTES, Attributes

TRUSTING = {"attributes": {"trustedNetworks": ["127.0.0.0/8"]}}
SHOWING = {"attributes": {"trustedNetworks": ["127.0.0.0/8"], "exposePrediction": True}}
SHOWING_OTHERS = {"attributes": {"trustedNetworks": ["10.0.0.0/8"], "exposePrediction": True}}
REPORT = (("x-sagesched-report", "true"),)

trusting = pytest.mark.parametrize("settings", [TRUSTING])


def with_words(message: ModelInferRequest, **words: str | int | float | bool) -> ModelInferRequest:
    kinds = {str: "string_param", int: "int64_param", float: "double_param", bool: "bool_param"}
    for name, value in words.items():
        setattr(message.parameters[f"x-sagesched-{name}"], kinds[type(value)], value)
    return message


def believed(face) -> list[Attributes]:
    return [live.attributes for live in face.bench.dispatcher._lives]


@trusting
async def test_metadata_speaks_for_the_stream_and_parameters_for_a_request(face):
    call = face.stream(metadata=(("x-sagesched-tenant", "a"), ("x-sagesched-priority", "3")))
    await call.write(a_message("plain"))
    await call.write(with_words(a_message("own"), tenant="b", deadline=60.0, report=True))
    await face.running(2)
    assert believed(face) == [
        Attributes(tenant="a", priority=3),
        Attributes(tenant="b", priority=3, deadline_s=60.0, wants_report=True),
    ]
    call.cancel()


async def test_strangers_are_not_believed(face):
    call = face.stream(metadata=(("x-sagesched-priority", "nonsense"),))
    await call.write(with_words(a_message(), tenant="b", priority=9))
    await face.running()
    assert believed(face) == [NO_ATTRIBUTES]
    call.cancel()


@pytest.mark.parametrize("settings", [{}, TRUSTING])
async def test_private_words_never_reach_triton(face, settings):
    call = face.stream(metadata=(("x-sagesched-tenant", "a"), ("x-mine", "1")))
    sent = with_words(a_message(), priority=1)
    sent.parameters["kept"].int64_param = 7
    await call.write(sent)
    (running,) = await face.running()
    body = ModelInferRequest.FromString(running.request.body)
    assert set(body.parameters) == set(a_message().parameters) | {"kept"}
    assert dict(running.request.metadata).keys() & {"x-sagesched-tenant", "x-mine"} == {"x-mine"}
    await call.write(with_words(a_message(model="adder"), priority=1))
    running.end()
    await call.read()
    (stream,) = face.raw.streams
    assert "x-sagesched-priority" not in ModelInferRequest.FromString(stream.written[0]).parameters
    assert "x-sagesched-tenant" not in stream.metadata
    call.cancel()


async def test_a_message_without_private_words_stays_byte_for_byte(face):
    body = a_message().SerializeToString() + b"\xfa\x3e\x01x"  # a field that no one knows
    call = face.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
    await call.write(body)
    (running,) = await face.running()
    assert running.request.body == body
    call.cancel()


@trusting
@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
async def test_wrong_words_of_a_whole_call_end_it(face, method):
    call = face.channel.stream_stream(f"/inference.GRPCInferenceService/{method}")(
        metadata=(("x-sagesched-priority", "high"),)
    )
    await call.write(a_message(model="once").SerializeToString())
    with pytest.raises(grpc.aio.AioRpcError, match="whole number") as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert dict(caught.value.trailing_metadata())["x-sagesched-error"] == "invalid-request"


@trusting
async def test_wrong_words_of_one_request_end_that_request(face):
    call = face.stream()
    await call.write(with_words(a_message(id="wrong"), deadline=-1))
    message = await call.read()
    assert message.infer_response.id == "wrong"
    assert "x-sagesched-deadline" in message.error_message
    await call.write(a_message())
    await face.running()
    call.cancel()


async def first_and_second(face, *, metadata=()):
    """Parameters of the two responses to a request."""
    call = face.stream(metadata=metadata)
    await call.write(a_message())
    (running,) = await face.running()
    running.token()
    first = await call.read()
    running.token(final=True)
    second = await call.read()
    return first.infer_response.parameters, second.infer_response.parameters


@pytest.mark.parametrize("settings", [SHOWING_OTHERS, TRUSTING])
async def test_the_first_response_reports_the_queue_time_to_whoever_asks(face):
    first, second = await first_and_second(face, metadata=REPORT)
    assert set(first) == {"x-sagesched-queue-time"}
    assert 0 <= first["x-sagesched-queue-time"].double_param < 5
    assert not second


async def test_nobody_is_told_who_did_not_ask(face):
    first, _ = await first_and_second(face)
    assert not first


@pytest.mark.parametrize("settings", [SHOWING, SHOWING_OTHERS])
async def test_trusted_callers_may_see_the_prediction(face, settings):
    call = face.stream()
    for number in range(9):  # of eight places, so that the last one waits and is predicted
        await call.write(with_words(a_message(str(number), id=str(number)), report=True))
    running = await face.running(8)
    await until(lambda: "8" in {asked.prompt for asked in face.bench.predictor.asked.values()})
    face.bench.predictor.answer("8", *range(1, 101))
    running[0].token(final=True)
    assert set((await call.read()).infer_response.parameters) == {"x-sagesched-queue-time"}
    running = await face.running(9)
    running[8].token()
    parameters = (await call.read()).infer_response.parameters
    if settings is SHOWING:
        assert parameters["x-sagesched-predicted-p50"].int64_param == 50
        assert parameters["x-sagesched-predicted-p90"].int64_param == 90
    else:
        assert set(parameters) == {"x-sagesched-queue-time"}
    call.cancel()


async def test_a_unary_answer_reports_too(face):
    message = with_words(a_message(model="once"), report=True)
    waiting = asyncio.ensure_future(face.unary("ModelInfer", message.SerializeToString()))
    (running,) = await face.running()
    running.token(final=True)
    assert set(ModelInferResponse.FromString(await waiting).parameters) == {"x-sagesched-queue-time"}


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.1:5000", "10.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[fe80::1]:5000", "fe80::1"),
        ("unix:/run/x.sock", ""),
    ],
)
def test_the_address_of_a_peer(peer, host):
    assert host_of(peer) == host
