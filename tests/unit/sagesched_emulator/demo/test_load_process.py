"""The client process: what it is told goes in, what it saw comes out, and it never outlives its parent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse

from sagesched_emulator.demo.errors import LoadError
from sagesched_emulator.demo.load_process import LoadProcess, Progress
from sagesched_emulator.load import LoadRequest, LoadSpec
from sagesched_emulator.load_result import LoadResult


async def answer(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
    async for raw in requests:
        response = ModelInferResponse(id=ModelInferRequest.FromString(raw).id)
        await context.write(ModelStreamInferResponse(infer_response=response).SerializeToString())


def a_spec(address: str, *, max_tokens: int = 10) -> LoadSpec:
    requests = tuple(
        LoadRequest(id=f"r{n}", prompt="Hello", max_tokens=max_tokens, arrival_s=0.0) for n in range(3)
    )
    return LoadSpec(address=address, model="ensemble", requests=requests, timeout_s=20.0)


def sent(spec: LoadSpec, folder: Path) -> tuple[list[Progress], LoadResult]:
    with LoadProcess(spec, folder) as load:
        seen = list(load.progress())
        return seen, load.result()


async def test_a_load_is_sent_and_told(tmp_path: Path) -> None:
    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(answer)
    service = grpc.method_handlers_generic_handler(
        "inference.GRPCInferenceService", {"ModelStreamInfer": handler}
    )
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        progress, result = await asyncio.to_thread(sent, a_spec(f"127.0.0.1:{port}"), tmp_path)
    finally:
        await server.stop(None)
    assert asdict(progress[-1]) == {"sent": 3, "ended": 3}
    assert [timing.id for timing in result.completed] == ["r0", "r1", "r2"]
    assert result.ended_at > result.started_at


def test_a_client_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="the load client failed: OverflowError"):
        sent(a_spec("127.0.0.1:1", max_tokens=-1), tmp_path)


def test_leaving_early_ends_the_client(tmp_path: Path) -> None:
    with LoadProcess(a_spec("127.0.0.1:1"), tmp_path) as load:
        process = load._process
    assert process.poll() is not None
