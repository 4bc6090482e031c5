"""ModelStreamInfer: many requests on one stream, each a generation of its own."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from dispatch_fakes import a_message, until

from sagesched_gateway.errors import UpstreamError, UpstreamUnavailableError
from sagesched_gateway.kserve import FINAL_PARAMETER, ModelInferRequest

AS_STATUS = (("triton_grpc_error", "true"),)
TRUSTING = {"attributes": {"trustedNetworks": ["127.0.0.0/8"]}}


async def rest(call):
    """All messages until the stream ends well."""
    messages = []
    while (message := await call.read()) is not grpc.aio.EOF:
        messages.append(message)
    return messages


async def failed(call):
    """The status a stream ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rest(call)
    return caught.value


async def test_a_request_is_answered_and_a_half_closed_stream_ends_well(face):
    call = face.stream()
    await call.write(a_message(id="mine"))
    await call.done_writing()
    (running,) = await face.running()
    running.token()
    running.token(final=True)
    messages = await rest(call)
    assert [message.infer_response.id for message in messages] == ["mine", "mine"]
    assert await call.code() is grpc.StatusCode.OK


async def test_an_empty_stream_ends_well(face):
    call = face.stream()
    await call.done_writing()
    assert await rest(call) == []


async def test_requests_on_one_stream_interleave(face):
    call = face.stream()
    for name in ("a", "b"):
        await call.write(a_message(name, id=name))
    await call.done_writing()
    first, second = await face.running(2)
    second.token()
    assert (await call.read()).infer_response.id == "b"
    first.token(final=True)
    assert (await call.read()).infer_response.id == "a"
    second.token(final=True)
    assert len(await rest(call)) == 1


async def test_answers_of_models_that_answer_once_keep_their_order(face):
    call = face.stream()
    for name in ("a", "b"):
        await call.write(a_message(name, id=name, model="once"))
    await call.done_writing()
    first, second = await face.running(2)
    second.token(final=True)
    await asyncio.sleep(0)
    first.token(final=True)
    assert [message.infer_response.id for message in await rest(call)] == ["a", "b"]


async def test_an_open_stream_takes_requests_later(face):
    call = face.stream()
    for number in (1, 2):
        await call.write(a_message(id=str(number)))
        running = (await face.running(number))[-1]
        running.token(final=True)
        assert (await call.read()).infer_response.id == str(number)
    await call.done_writing()
    assert await rest(call) == []


async def test_a_failure_stays_inside_the_stream_which_goes_on(face):
    call = face.stream()
    for name in ("bad", "good"):
        await call.write(a_message(name, id=name))
    await call.done_writing()
    bad, good = await face.running(2)
    bad.fail(UpstreamError("in ensemble 'text', no", code="INTERNAL"))
    message = await call.read()
    assert message.error_message == "in ensemble 'text', no"
    assert (message.infer_response.id, message.infer_response.model_name) == ("bad", "text")
    assert message.infer_response.parameters[FINAL_PARAMETER].bool_param
    good.token(final=True)
    assert [message.infer_response.id for message in await rest(call)] == ["good"]


async def test_a_failure_is_a_status_for_those_who_asked(face):
    call = face.stream(metadata=AS_STATUS)
    await call.write(a_message())
    (running,) = await face.running()
    running.fail(UpstreamError("in ensemble 'text', no", code="INTERNAL"))
    error = await failed(call)
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "in ensemble 'text', no")


async def test_errors_found_before_tritons_queue_stay_inside_the_stream_even_then(face):
    call = face.stream(metadata=AS_STATUS)
    await call.write(a_message())
    await call.done_writing()
    (running,) = await face.running()
    running.fail(UpstreamError("wrong shape", code="INVALID_ARGUMENT", in_band=True))
    (message,) = await rest(call)
    assert message.error_message == "wrong shape"
    assert not message.infer_response.parameters


async def test_our_own_errors_carry_their_word(face):
    face.bench.upstream.refuses_with = UpstreamUnavailableError("cannot reach Triton at nowhere")
    call = face.stream(metadata=AS_STATUS)
    await call.write(a_message(model="other"))
    error = await failed(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    trailing = dict(error.trailing_metadata())
    assert trailing["x-sagesched-error"] == "upstream-unavailable"
    assert trailing["retry-after"] == "1"


async def test_a_draining_gateway_says_so(face):
    await face.bench.dispatcher.drain(0)
    call = face.stream()
    await call.write(a_message(id="new"))
    await call.done_writing()
    (message,) = await rest(call)
    assert "shutting down" in message.error_message
    assert message.infer_response.id == "new"


async def test_a_caller_that_cancels_takes_all_its_requests_with_it(face):
    call = face.stream()
    for name in ("a", "b"):
        await call.write(a_message(name))
    calls = await face.running(2)
    call.cancel()
    await until(lambda: all(running.num_cancels for running in calls))
    for running in calls:
        running.end()
    await until(lambda: not face.bench.dispatcher.num_live)


async def test_a_callers_deadline_stops_its_request(face):
    call = face.stream(timeout=0.2)
    await call.write(a_message())
    (running,) = await face.running()
    running.ends_when_cancelled = True
    error = await failed(call)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not face.bench.dispatcher.num_live)
    assert running.num_cancels == 1


@pytest.mark.parametrize("settings", [TRUSTING])
async def test_a_requests_own_deadline_ends_that_request_alone(face):
    call = face.stream()
    hurried = a_message("hurried", id="hurried")
    hurried.parameters["x-sagesched-deadline"].double_param = 0.1
    await call.write(hurried)
    await call.write(a_message("other", id="other"))
    await call.done_writing()
    first, second = await face.running(2)
    first.ends_when_cancelled = True
    message = await call.read()
    assert (message.infer_response.id, "deadline" in message.error_message) == ("hurried", True)
    second.token(final=True)
    assert [message.infer_response.id for message in await rest(call)] == ["other"]
    await until(lambda: first.num_cancels)


async def test_other_models_pass_through_untouched_on_one_plain_stream(face):
    call = face.stream(metadata=(("x-mine", "1"),))
    sent = [a_message("x", id=name, model="adder") for name in ("1", "2")]
    for message in sent:
        await call.write(message)
    await call.done_writing()
    messages = await rest(call)
    assert [message.infer_response.model_name for message in messages] == ["echo adder"] * 2
    (stream,) = face.raw.streams
    assert [ModelInferRequest.FromString(body) for body in stream.written] == sent
    assert stream.metadata["x-mine"] == "1"
    assert "user-agent" not in stream.metadata
    assert not face.bench.upstream.calls


async def test_a_request_that_cannot_be_read_is_tritons_to_judge(face):
    message = a_message(id="odd")
    del message.parameters["prompt"]
    call = face.stream()
    await call.write(message)
    await call.done_writing()
    (answer,) = await rest(call)
    assert answer.infer_response.model_name == "echo text"


async def test_a_passed_stream_that_breaks_ends_the_callers_with_the_same_status(face):
    call = face.stream()
    await call.write(a_message(model="adder"))
    assert await call.read()
    face.raw.streams[0].breaks_with = grpc.aio.AioRpcError(
        grpc.StatusCode.DATA_LOSS, grpc.aio.Metadata(), grpc.aio.Metadata(), details="gone"
    )
    await call.write(a_message(model="adder"))
    error = await failed(call)
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "gone")


async def test_a_caller_that_cancels_closes_its_passed_stream(face):
    call = face.stream()
    await call.write(a_message(model="adder"))
    assert await call.read()
    face.raw.streams[0].holds = True
    call.cancel()
    await until(lambda: face.raw.streams[0].is_cancelled)


async def test_bytes_that_are_no_request_are_refused(face):
    call = face.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
    await call.write(b"\xff\xff\xff")
    error = await failed(call)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("num_before", [0, 1])
async def test_a_defect_ends_the_stream_and_says_so(face, monkeypatch, num_before):
    call = face.stream()
    for _ in range(num_before):
        await call.write(a_message())
        await face.running()
    monkeypatch.setattr(face.bench.dispatcher, "generate", lambda *_, **__: 1 / 0)
    await call.write(a_message())
    error = await failed(call)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "ZeroDivisionError" in error.details()


async def test_a_large_message_passes_in_both_directions(face):
    call = face.stream()
    await call.write(a_message("x" * 6_000_000))
    await call.done_writing()
    (running,) = await face.running()
    running.token(final=True)
    assert len(await rest(call)) == 1
