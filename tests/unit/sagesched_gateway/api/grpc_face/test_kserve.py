"""The unary methods: inference that answers once, health, and everything that is only passed on."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from dispatch_fakes import a_message

from sagesched_gateway.api.grpc_face.server import serve_grpc
from sagesched_gateway.errors import UnsupportedError, UpstreamError
from sagesched_gateway.kserve import (
    FINAL_PARAMETER,
    ModelInferResponse,
    ModelReadyResponse,
    ServerLiveResponse,
    ServerReadyResponse,
)
from sagesched_gateway.request import Chunk

ALONE = (("grpc.so_reuseport", 0),)
AWAY = grpc.aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="away"
)


async def infer(face, message, **options):
    return ModelInferResponse.FromString(
        await face.unary("ModelInfer", message.SerializeToString(), **options)
    )


async def code_of(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value.code(), caught.value.details()


async def test_a_model_that_answers_once_is_queued(face):
    answer = face.unary("ModelInfer", a_message(model="once", id="mine").SerializeToString())
    waiting = asyncio.ensure_future(answer)
    (running,) = await face.running()
    response = ModelInferResponse(model_name="once", id="mine")
    response.parameters[FINAL_PARAMETER].bool_param = True
    running._put(Chunk(response, 5, final=True))
    got = ModelInferResponse.FromString(await waiting)
    assert got.id == "mine"
    assert FINAL_PARAMETER not in got.parameters
    assert not face.raw.calls
    assert face.bench.telemetry.finished == [("completed", 5)]
    assert running.num_cancels == 0


async def test_its_failure_is_a_status(face):
    waiting = asyncio.ensure_future(infer(face, a_message(model="once")))
    (running,) = await face.running()
    running.fail(UpstreamError("no", code="INTERNAL"))
    assert await code_of(waiting) == (grpc.StatusCode.INTERNAL, "no")


async def test_an_end_without_a_response_is_an_error(face):
    waiting = asyncio.ensure_future(infer(face, a_message(model="once")))
    (running,) = await face.running()
    running.end()
    code, details = await code_of(waiting)
    assert code is grpc.StatusCode.INTERNAL
    assert "without a response" in details


@pytest.mark.parametrize("model", ["text", "adder"])
async def test_decoupled_and_other_models_are_tritons_to_answer(face, model):
    body = a_message(model=model).SerializeToString()
    assert await face.unary("ModelInfer", body) == b"raw:" + body
    assert face.raw.calls[0][0] == "ModelInfer"


async def test_what_cannot_be_read_is_tritons_to_judge(face):
    message = a_message(model="once")
    del message.parameters["prompt"]
    body = message.SerializeToString()
    assert await face.unary("ModelInfer", body) == b"raw:" + body


async def test_what_would_harm_triton_is_not_left_to_it(face, monkeypatch):
    def refuse(*_: object) -> None:
        raise UnsupportedError("Triton dies of it")

    monkeypatch.setattr(face.bench.upstream, "read", refuse)
    code, details = await code_of(infer(face, a_message(model="once")))
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "Triton dies of it")
    call = face.stream()
    await call.write(a_message())
    assert (await call.read()).error_message == "Triton dies of it"
    assert not face.raw.calls
    assert not face.raw.streams


async def test_nor_are_the_classes_of_a_text_of_any_model(face):
    message = a_message(model="adder")
    message.outputs.add(name="numbers").parameters["classification"].int64_param = 1
    body = message.SerializeToString()
    assert await face.unary("ModelInfer", body) == b"raw:" + body
    face.raw.calls.clear()
    message.outputs.add(name="words").parameters["classification"].int64_param = 1
    code, details = await code_of(infer(face, message))
    assert (code, details) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "output 'words' is text and has no classification",
    )
    call = face.stream()
    await call.write(message)
    assert (await call.read()).error_message == details
    assert not face.raw.calls
    assert not face.raw.streams


async def test_bytes_that_are_no_request_are_tritons_to_judge(face):
    assert await face.unary("ModelInfer", b"\xff\xff") == b"raw:\xff\xff"


async def test_unknown_methods_of_the_service_are_passed_on_with_metadata(face):
    sent = (("x-mine", "1"), ("x-sagesched-tenant", "me"))
    assert await face.unary("Unheard", b"abc", metadata=sent) == b"raw:abc"
    method, body, metadata = face.raw.calls[0]
    assert (method, body, metadata["x-mine"]) == ("Unheard", b"abc", "1")
    assert "x-sagesched-tenant" not in metadata


async def test_a_passed_failure_keeps_code_and_words(face):
    face.raw.answers["ModelConfig"] = AWAY
    assert await code_of(face.unary("ModelConfig")) == (grpc.StatusCode.UNAVAILABLE, "away")


async def test_other_services_are_not_implemented(face):
    code, _ = await code_of(face.unary("Method", service="some.other.Service"))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_liveness_is_our_own(face):
    face.raw.answers["ServerLive"] = AWAY
    face.readiness.is_ready = False
    assert ServerLiveResponse.FromString(await face.unary("ServerLive")).live


@pytest.mark.parametrize(
    ("method", "service", "ready", "not_ready"),
    [
        (
            "ServerReady",
            "inference.GRPCInferenceService",
            ServerReadyResponse(ready=True).SerializeToString(),
            b"",
        ),
        ("Check", "grpc.health.v1.Health", b"\x08\x01", b"\x08\x02"),
    ],
)
async def test_readiness_is_tritons_and_ours(face, method, service, ready, not_ready):
    assert await face.unary(method, service=service) == ready
    face.readiness.is_ready = False
    assert await face.unary(method, service=service) == not_ready
    face.readiness.is_ready = True
    face.raw.answers[method] = AWAY
    assert await face.unary(method, service=service) == not_ready


async def test_a_model_is_not_ready_while_draining(face):
    assert ModelReadyResponse.FromString(await face.unary("ModelReady")).ready
    face.readiness.is_draining = True
    assert not ModelReadyResponse.FromString(await face.unary("ModelReady")).ready


async def test_an_address_in_use_is_said_plainly(face):
    server, port = await serve_grpc((), "127.0.0.1:0", ALONE)
    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
        await serve_grpc((), f"127.0.0.1:{port}", ALONE)
    await server.stop(0)
