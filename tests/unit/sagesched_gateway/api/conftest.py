"""A dispatcher that answers what a test tells it to; a Triton HTTP endpoint that records what reaches it."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sagesched_gateway.api.http_face.app import build_http_app
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.dispatch.ports import DispatchSnapshot, PredictorState
from sagesched_gateway.errors import GatewayError
from sagesched_gateway.kserve import ModelInferRequest, ModelInferResponse, ModelMetadataResponse
from sagesched_gateway.request import NO_ATTRIBUTES, Attributes, Conversation
from sagesched_gateway.scheduling.outlook import Outlook
from sagesched_predictor.distribution import LengthDistribution

sys.path.insert(0, str(Path(__file__).parent / "http_face"))

SNAPSHOT = DispatchSnapshot(
    queued=5,
    queued_bytes=4321,
    in_flight=3,
    policy="fcfs",
    backlog_s=12.5,
    gamma=None,
    slots=32,
    kv_blocks_reserved=40,
    kv_blocks=750,
    iteration_s=0.011,
    draining=False,
    predictor=PredictorState(mode="HistoryOnly", state="ready", provider="CPUExecutionProvider", history=9),
    counters={"received": 11},
)


def ensemble_metadata() -> ModelMetadataResponse:
    """Tensors as Triton lists them: a leading -1 is the batch dimension."""
    metadata = ModelMetadataResponse(name="ensemble", versions=["1"], platform="ensemble")
    for name, datatype, shape in (
        ("text_input", "BYTES", (-1, 1)),
        ("max_tokens", "INT32", (-1, 1)),
        ("stop_words", "BYTES", (-1, -1)),
        ("temperature", "FP32", (-1, 1)),
        ("stream", "BOOL", (-1, 1)),
        ("seed", "UINT64", (-1, 1)),
        ("prompt_embedding_table", "FP16", (-1, -1, -1)),
        ("lora_config", "INT32", (-1, -1, 3)),
    ):
        metadata.inputs.add(name=name, datatype=datatype, shape=shape)
    return metadata


def a_response(text: str = "hello", *, request_id: str = "", **parameters: object) -> ModelInferResponse:
    response = ModelInferResponse(model_name="ensemble", model_version="1", id=request_id)
    response.outputs.add(name="text_output", datatype="BYTES", shape=[1, 1])
    encoded = text.encode("utf-8", "surrogateescape")
    response.raw_output_contents.append(struct.pack("<I", len(encoded)) + encoded)
    response.parameters["triton_final_response"].bool_param = False
    response.parameters["sequence_id"].int64_param = 0
    return response


OUTLOOK = Outlook(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


class FakeDispatcher:
    """Answers every request with `responses`, then ends it with `error` unless it is told to hold it open."""

    def __init__(self) -> None:
        self.responses: list[ModelInferResponse] = [a_response()]
        self.error: GatewayError | None = None
        self.refusal: GatewayError | None = None
        self.holds_open = False
        self.queue_s: float | None = 0.25
        self.predicted: LengthDistribution | None = None
        self.messages: list[ModelInferRequest] = []
        self.metadata_seen: list[object] = []
        self.attributes_seen: list[Attributes] = []
        self.started = asyncio.Event()
        self.closed = asyncio.Event()
        self.state = SNAPSHOT

    def outlook(self) -> Outlook:
        return OUTLOOK

    async def resolve(self, model_name: str) -> bool:
        return model_name in ("ensemble", "once")

    def is_decoupled(self, model_name: str) -> bool:
        return model_name == "ensemble"

    def text_outputs(self, model_name: str) -> frozenset[str]:
        return frozenset({"words"} if model_name == "talker" else ())

    async def metadata(self, model_name: str) -> ModelMetadataResponse:
        return ensemble_metadata()

    def generate(
        self,
        message: ModelInferRequest,
        *,
        metadata: object = (),
        attributes: Attributes = NO_ATTRIBUTES,
        conversation: Conversation | None = None,
    ) -> Generation:
        if self.refusal is not None:
            raise self.refusal
        self.messages.append(message)
        self.metadata_seen.append(metadata)
        self.attributes_seen.append(attributes)
        generation = Generation(client_id=message.id, model=message.model_name, close=self.closed.set)
        generation.queue_s = self.queue_s
        generation.predicted = self.predicted
        self.generation = generation
        for response in self.responses:
            generation.respond(response)
        if not self.holds_open:
            generation.end(self.error)
        self.started.set()
        return generation

    def snapshot(self) -> DispatchSnapshot:
        return self.state

    def change(self, **fields: object) -> None:
        self.state = dataclasses.replace(self.state, **fields)


@dataclasses.dataclass
class FakeReadiness:
    is_ready: bool = True
    is_draining: bool = False
    reason: str = ""


class FakeTriton:
    """Records requests; answers with `body`, `status` and `headers`, in pieces."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.pieces: Iterable[bytes] = (b"from ", b"Triton")
        self.requests: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.breaks_off = False
        self.waits = False
        self.left = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application(handler_args={"handler_cancellation": True, "auto_decompress": False})
        app.router.add_route("*", "/{rest:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.raw_path, body, dict(request.headers)))
        response = web.StreamResponse(status=self.status, headers=self.headers)
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
        if self.breaks_off:
            assert request.transport is not None
            request.transport.abort()
        if self.waits:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        return response


@pytest.fixture
async def dispatcher() -> FakeDispatcher:
    return FakeDispatcher()


@pytest.fixture
def readiness() -> FakeReadiness:
    return FakeReadiness()


@pytest.fixture
async def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
async def triton_address(triton: FakeTriton) -> AsyncIterator[str]:
    server = TestServer(triton.app())
    await server.start_server()
    yield f"127.0.0.1:{server.port}"
    await server.close()


@pytest.fixture
def options() -> dict[str, Any]:
    """What a test gives `build_http_app` beyond the fakes (parametrize it)."""
    return {}


@pytest.fixture
async def client(
    dispatcher: FakeDispatcher, readiness: FakeReadiness, triton_address: str, options: dict[str, Any]
) -> AsyncIterator[TestClient]:
    app = build_http_app(dispatcher, triton_address, readiness, **options)
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        yield client


@pytest.fixture
def respond():
    """Builds a response with one text output."""
    return a_response


@pytest.fixture
def metadata() -> ModelMetadataResponse:
    return ensemble_metadata()
