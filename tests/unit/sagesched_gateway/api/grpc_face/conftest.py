"""A gRPC face over a dispatcher with a faked upstream; a Triton in bytes that records what reaches it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "dispatch"))

from dispatch_fakes import Bench, until

from sagesched_gateway.api.admin_gate import AdminGate
from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.api.grpc_face.health import HealthFace
from sagesched_gateway.api.grpc_face.kserve import KServeFace
from sagesched_gateway.api.grpc_face.reflection import ReflectionFace
from sagesched_gateway.api.grpc_face.server import serve_grpc, server_options
from sagesched_gateway.api.grpc_face.stream import StreamBounds
from sagesched_gateway.api.passed_calls import PassedCalls
from sagesched_gateway.api.sweeper import Sweeper
from sagesched_gateway.errors import GatewayError, UpstreamError
from sagesched_gateway.kserve import (
    SERVICE,
    ModelInferRequest,
    ModelInferResponse,
    ModelReadyResponse,
    ModelStreamInferResponse,
    ServerReadyResponse,
)
from sagesched_gateway.settings.config import GatewayConfig, parse_config


class RawTriton:
    """Answers every unary call with `answers[method]`, every streamed message with its model's name."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes, dict[str, Any]]] = []
        self.streams: list[RawStream] = []
        self.answers: dict[str, bytes | grpc.aio.AioRpcError] = {
            "ServerReady": ServerReadyResponse(ready=True).SerializeToString(),
            "ModelReady": ModelReadyResponse(ready=True).SerializeToString(),
            "Check": b"\x08\x01",
        }

    async def unary(
        self, path: str, body: bytes, *, metadata: Any = (), timeout_s: float | None = None
    ) -> bytes:
        method = path.rpartition("/")[2]
        self.calls.append((method, body, dict(metadata)))
        answer = self.answers.get(method, b"raw:" + body)
        if isinstance(answer, grpc.aio.AioRpcError):
            raise answer
        return answer

    def stream(self, *, metadata: Any = ()) -> RawStream:
        self.streams.append(RawStream(dict(metadata)))
        return self.streams[-1]

    def error_of(self, error: grpc.aio.AioRpcError) -> GatewayError:
        return UpstreamError(error.details() or "", code=error.code().name)


class RawStream:
    """An upstream stream; prompts are ignored, the model's name comes back."""

    def __init__(self, metadata: dict[str, str]) -> None:
        self.metadata = metadata
        self.written: list[bytes] = []
        self.is_cancelled = False
        self.holds = False  # an answer is still to come
        self.is_silent = False  # no answers
        self.breaks_with: grpc.aio.AioRpcError | None = None
        self._box: asyncio.Queue[Any] = asyncio.Queue()

    async def write(self, message: bytes) -> None:
        self.written.append(message)
        if self.is_silent:
            return
        request = ModelInferRequest.FromString(message)
        response = ModelInferResponse(model_name=f"echo {request.model_name}", id=request.id)
        self._box.put_nowait(ModelStreamInferResponse(infer_response=response).SerializeToString())

    async def done_writing(self) -> None:
        if not self.holds:
            self._box.put_nowait(grpc.aio.EOF)

    async def read(self) -> Any:
        message = await self._box.get()
        if self.breaks_with is not None:
            raise self.breaks_with
        return message

    def cancel(self) -> bool:
        self.is_cancelled = True
        self._box.put_nowait(grpc.aio.EOF)
        return True


class FixedReadiness:
    def __init__(self) -> None:
        self.is_ready = True
        self.is_draining = False
        self.reason = ""


SWEEP_S = 0.02


class Face:
    """All gRPC faces on a real port, and a client's channel to it."""

    def __init__(self, config: GatewayConfig) -> None:
        self.bench = Bench(slots=8)
        self.raw = RawTriton()
        self.readiness = FixedReadiness()
        self.config = config
        self.sweeper = Sweeper(SWEEP_S)
        self.passed = PassedCalls()
        self.server: grpc.aio.Server | None = None
        self.channel: grpc.aio.Channel | None = None

    async def start(self) -> None:
        kserve = KServeFace(
            self.bench.dispatcher,
            self.raw,
            self.readiness,
            gate=AdminGate(self.config.admin),
            reader=AttributeReader(self.config.attributes),
            sweeper=self.sweeper,
            bounds=StreamBounds.of(self.config),
            passed=self.passed,
        )
        self.health = HealthFace(self.readiness, self.sweeper, kserve.check_health)
        faces = (kserve, self.health, ReflectionFace())
        self.server, port = await serve_grpc(faces, "127.0.0.1:0", server_options(self.config))
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._sweeping = asyncio.create_task(self.sweeper.run())

    async def stop(self) -> None:
        self._sweeping.cancel()
        await self.channel.close()
        await self.server.stop(0)

    async def unary(self, method: str, body: bytes = b"", *, service: str = SERVICE, **options: Any) -> bytes:
        return await self.channel.unary_unary(f"/{service}/{method}")(body, **options)

    def stream(self, *, metadata: Any = (), timeout: float | None = None) -> Any:
        """An open `ModelStreamInfer` stream."""
        method = self.channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelStreamInferResponse.FromString,
        )
        return method(metadata=metadata, timeout=timeout)

    async def running(self, number: int = 1) -> list[Any]:
        """The upstream calls, once so many requests were sent."""
        await until(lambda: len(self.bench.upstream.calls) >= number)
        return self.bench.upstream.calls


@pytest.fixture
def settings() -> dict[str, Any]:
    """A test's settings; a module overrides the fixture, or a test parametrizes it."""
    return {}


@pytest.fixture
async def face(settings: dict[str, Any]) -> AsyncIterator[Face]:
    face = Face(parse_config({"predictor": {"mode": "None"}} | settings))
    await face.start()
    yield face
    await face.stop()
