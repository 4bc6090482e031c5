"""The client keeps the trace's arrivals and tells a complete answer from every other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse

from sagesched_emulator.load import LoadRequest, LoadSpec, generate_message, run_load
from sagesched_emulator.load_result import LoadResult

Context = grpc.aio.ServicerContext
Answer = Callable[[ModelInferRequest, Context], Awaitable[None]]


def a_request(number: int = 0, prompt: str = "Why is the sky blue?", arrival_s: float = 0.0) -> LoadRequest:
    return LoadRequest(id=f"r{number}", prompt=prompt, max_tokens=300, arrival_s=arrival_s)


def a_chunk(request: ModelInferRequest, error: str = "") -> bytes:
    response = ModelInferResponse(model_name=request.model_name, id=request.id)
    message = ModelStreamInferResponse(infer_response=response, error_message=error)
    serialized: bytes = message.SerializeToString()
    return serialized


async def three_chunks(request: ModelInferRequest, context: Context) -> None:
    for _ in range(3):
        await context.write(a_chunk(request))


@asynccontextmanager
async def a_server(answer: Answer) -> AsyncIterator[str]:
    async def infer(requests: AsyncIterator[bytes], context: Context) -> None:
        async for raw in requests:
            await answer(ModelInferRequest.FromString(raw), context)

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "inference.GRPCInferenceService", {"ModelStreamInfer": grpc.stream_stream_rpc_method_handler(infer)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def loaded(answer: Answer, *requests: LoadRequest, timeout_s: float = 20.0) -> LoadResult:
    async with a_server(answer) as address:
        spec = LoadSpec(address=address, model="ensemble", requests=requests, timeout_s=timeout_s)
        return await run_load(spec)


def test_a_message_has_the_classic_tensors_and_nothing_else() -> None:
    message = ModelInferRequest.FromString(generate_message(a_request(prompt="Grüße"), "ensemble"))
    assert (message.model_name, message.id) == ("ensemble", "r0")
    assert [(t.name, t.datatype, list(t.shape)) for t in message.inputs] == [
        ("text_input", "BYTES", [1, 1]),
        ("max_tokens", "INT32", [1, 1]),
        ("stream", "BOOL", [1, 1]),
        ("exclude_input_in_output", "BOOL", [1, 1]),
    ]
    text = "Grüße".encode()
    assert list(message.raw_input_contents) == [
        len(text).to_bytes(4, "little") + text,
        (300).to_bytes(4, "little"),
        b"\x01",
        b"\x01",
    ]
    assert not message.parameters


async def test_answers_are_counted_and_timed() -> None:
    result = await loaded(three_chunks, a_request(0), a_request(1))
    assert [timing.num_chunks for timing in result.timings] == [3, 3]
    assert len(result.completed) == 2
    for timing in result.timings:
        assert 0 < timing.ttft_s <= timing.ttlt_s


async def test_requests_go_out_at_their_arrivals_although_earlier_ones_still_run() -> None:
    arrived: list[str] = []
    everybody_here = asyncio.Event()

    async def wait_for_all(request: ModelInferRequest, context: Context) -> None:
        arrived.append(request.id)
        if len(arrived) == 3:
            everybody_here.set()
        await everybody_here.wait()
        await context.write(a_chunk(request))

    result = await loaded(
        wait_for_all, a_request(0), a_request(1, arrival_s=0.05), a_request(2, arrival_s=0.1)
    )
    assert arrived == ["r0", "r1", "r2"]
    assert [round(timing.due_at, 3) for timing in result.timings] == [0, 0.05, 0.1]
    for timing in result.timings:
        assert timing.sent_at is not None
        assert timing.sent_at >= timing.due_at - 0.001
    first = result.timings[0]
    assert first.ttft_s >= 0.1


async def test_time_scale_stretches_arrivals() -> None:
    async with a_server(three_chunks) as address:
        spec = LoadSpec(
            address=address, model="m", requests=(a_request(0), a_request(1, arrival_s=1.0)), time_scale=0.05
        )
        result = await run_load(spec)
    assert [timing.due_at for timing in result.timings] == [0, 0.05]


async def test_an_error_in_the_stream_is_a_failure() -> None:
    async def refuse(request: ModelInferRequest, context: Context) -> None:
        await context.write(a_chunk(request, error="in ensemble 'ensemble', too long"))

    result = await loaded(refuse, a_request())
    assert result.timings[0].error == "in ensemble 'ensemble', too long"
    assert result.completed == []


async def test_a_status_is_a_failure() -> None:
    async def abort(request: ModelInferRequest, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "shutting\ndown")

    result = await loaded(abort, a_request())
    assert result.timings[0].error == "UNAVAILABLE: shutting down"


async def test_an_empty_stream_is_a_failure() -> None:
    async def say_nothing(request: ModelInferRequest, context: Context) -> None:
        return

    result = await loaded(say_nothing, a_request())
    assert result.timings[0].error == "the stream ended without an answer"


async def test_what_does_not_end_is_given_up() -> None:
    async def hang(request: ModelInferRequest, context: Context) -> None:
        await context.write(a_chunk(request))
        await asyncio.Event().wait()

    result = await loaded(hang, a_request(0), a_request(1, arrival_s=60.0), timeout_s=0.2)
    assert result.timings[0].error == "gave up after 0.2 s"
    assert result.timings[1].error == "gave up after 0.2 s"
    assert result.timings[1].sent_at is None


async def test_progress_ends_with_all_requests() -> None:
    seen: list[tuple[int, int]] = []
    async with a_server(three_chunks) as address:
        spec = LoadSpec(address=address, model="m", requests=(a_request(0), a_request(1)))
        await run_load(spec, lambda sent, ended: seen.append((sent, ended)))
    assert seen[-1] == (2, 2)


async def test_nobody_listening_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagesched_emulator.load.CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(ConnectionError, match=r"no gRPC server answers at 127\.0\.0\.1:1"):
        await run_load(LoadSpec(address="127.0.0.1:1", model="m", requests=(a_request(),)))


@pytest.mark.parametrize(("send_s", "loop_s", "late"), [(0, 0, False), (0.2, 0, True), (0, 0.2, True)])
def test_a_late_client_says_so(send_s: float, loop_s: float, late: bool) -> None:
    result = LoadResult(started_at=0, ended_at=1, send_late_p99_s=send_s, loop_late_p99_s=loop_s)
    assert result.late is late
