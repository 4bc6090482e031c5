"""A Triton in this process: the classic repository over real gRPC, steered by the prompt, without an engine.

A prompt is `tokens=N` (N chunks of one token), `hang` (one chunk, then nothing until stopped), `silent` (no
chunk until stopped), `fail` (a backend error), `full` (the executor's queue is full), `busy` (UNAVAILABLE),
`break` (one chunk, then the stream breaks), `flag` (a flag-only final) or `whole=N` (one chunk of N tokens,
the prompt among them).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import grpc
import grpc.aio

from sagesched_gateway.kserve import (
    EMPTY_FINAL_PARAMETER,
    FINAL_PARAMETER,
    SERVICE,
    ModelConfigRequest,
    ModelConfigResponse,
    ModelInferRequest,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelStreamInferResponse,
    RepositoryIndexResponse,
    ServerReadyResponse,
)

ENSEMBLE_INPUTS = (
    ("text_input", "BYTES"),
    ("max_tokens", "INT32"),
    ("stream", "BOOL"),
    ("return_num_input_tokens", "BOOL"),
    ("return_num_output_tokens", "BOOL"),
)
ENGINE_INPUTS = (
    ("input_ids", "INT32"),
    ("input_lengths", "INT32"),
    ("request_output_len", "INT32"),
    ("stop", "BOOL"),
    ("streaming", "BOOL"),
)
MODELS = {
    "ensemble": (
        ENSEMBLE_INPUTS,
        ("text_output", "num_input_tokens", "num_output_tokens"),
        "ensemble",
        True,
    ),
    "tensorrt_llm": (ENGINE_INPUTS, ("output_ids", "sequence_length"), "", True),
    "whole": (ENSEMBLE_INPUTS, ("text_output",), "ensemble", False),
    "adder": ((("a", "INT32"),), ("sum",), "", False),
}


async def until(condition: Callable[[], object]) -> None:
    """Wait for a state of the code under test, which tells nobody when it is reached."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class FakeTriton:
    """Serves on a free port of loopback; `requests` keeps what came to `ModelStreamInfer`."""

    def __init__(self) -> None:
        self.requests: list[ModelInferRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.stops: list[str] = []
        self.cancelled: list[str] = []
        self.ready = True
        self.ignores_stop = False
        self._stopped: dict[str, asyncio.Event] = {}
        self._server: grpc.aio.Server | None = None
        self.address = ""

    async def start(self, address: str = "127.0.0.1:0") -> FakeTriton:
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        port = self._server.add_insecure_port(address)
        await self._server.start()
        self.address = f"127.0.0.1:{port}"
        return self

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)

    # --- unary ---

    async def unary(self, method: str, body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        match method:
            case "ServerReady":
                return ServerReadyResponse(ready=self.ready).SerializeToString()
            case "RepositoryIndex":
                index = RepositoryIndexResponse()
                for name in MODELS:
                    index.models.add(name=name, version="1", state="READY")
                return index.SerializeToString()
            case "ModelMetadata":
                return await self._metadata(ModelMetadataRequest.FromString(body).name, context)
            case "ModelConfig":
                return await self._config(ModelConfigRequest.FromString(body).name, context)
            case "Echo":
                return body
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no {method}")
        raise AssertionError

    async def _metadata(self, name: str, context: grpc.aio.ServicerContext) -> bytes:
        if name not in MODELS:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found"
            )
        inputs, outputs, _, _ = MODELS[name]
        answer = ModelMetadataResponse(name=name, versions=["1"])
        for tensor, datatype in inputs:
            answer.inputs.add(name=tensor, datatype=datatype, shape=[-1, 1])
        for tensor in outputs:
            answer.outputs.add(name=tensor, datatype="INT32", shape=[-1, 1])
        return answer.SerializeToString()

    async def _config(self, name: str, context: grpc.aio.ServicerContext) -> bytes:
        _, _, platform, decoupled = MODELS[name]
        answer = ModelConfigResponse()
        answer.config.name = name
        answer.config.platform = platform
        answer.config.max_batch_size = 32
        answer.config.model_transaction_policy.decoupled = decoupled
        answer.config.parameters["batch_scheduler_policy"].string_value = "max_utilization"
        if platform == "ensemble":
            answer.config.ensemble_scheduling.step.add(model_name="tensorrt_llm")
        return answer.SerializeToString()

    # --- streams ---

    async def stream(self, context: grpc.aio.ServicerContext) -> None:
        while (body := await context.read()) is not grpc.aio.EOF:
            request = ModelInferRequest.FromString(body)
            self.requests.append(request)
            self.metadata.append(dict(context.invocation_metadata()))
            try:
                await self._answer(request, context)
            except asyncio.CancelledError:
                self.cancelled.append(request.id)
                raise

    async def _answer(self, request: ModelInferRequest, context: grpc.aio.ServicerContext) -> None:
        if request.model_name == "adder":
            await _send(context, request, final=True, text="passed on")
        elif request.model_name not in MODELS:
            error = f"Request for unknown model: '{request.model_name}' is not found"
            message = ModelStreamInferResponse(error_message=error)
            message.infer_response.id = request.id
            await context.write(message.SerializeToString())
        elif any(tensor.name == "stop" for tensor in request.inputs):
            await self._stop(request, context)
        else:
            await self._generate(request, _text(request), context)

    async def _stop(self, request: ModelInferRequest, context: grpc.aio.ServicerContext) -> None:
        self.stops.append(request.id)
        if request.id in self._stopped and not self.ignores_stop:
            self._stopped[request.id].set()
        await _send(context, request, final=True)

    async def _generate(
        self, request: ModelInferRequest, prompt: str, context: grpc.aio.ServicerContext
    ) -> None:
        word, _, number = prompt.partition("=")
        stopped = self._stopped[request.id] = asyncio.Event()
        match word:
            case "tokens":
                for index in range(int(number)):
                    await _send(context, request, final=index + 1 == int(number), text=f"t{index} ", num=1)
            case "whole":
                await _send(context, request, final=True, text="all", num=int(number))
            case "flag":
                await _send(context, request, final=False, text="t0", num=1)
                if request.parameters[EMPTY_FINAL_PARAMETER].bool_param:
                    await _send(context, request, final=True)
            case "hang":
                await _send(context, request, final=False, text="t0", num=1)
                await stopped.wait()
                await _send(context, request, final=True)
            case "silent":
                await stopped.wait()
                await _send(context, request, final=True)
            case "break":
                await _send(context, request, final=False, text="t0", num=1)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            case "fail":
                await context.abort(grpc.StatusCode.INTERNAL, "in ensemble 'ensemble', it failed")
            case "full":
                await context.abort(
                    grpc.StatusCode.INTERNAL,
                    "Maximum queue size of 8 has been reached, please try again later",
                )
            case "busy":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, fake: FakeTriton) -> None:
        self._fake = fake

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        service, _, method = details.method.lstrip("/").partition("/")
        fake = self._fake
        if service != SERVICE:
            return None
        if method == "ModelStreamInfer":

            async def stream(_: object, context: grpc.aio.ServicerContext) -> None:
                await fake.stream(context)

            return grpc.stream_stream_rpc_method_handler(stream)

        async def unary(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await fake.unary(method, body, context)

        return grpc.unary_unary_rpc_method_handler(unary)


async def _send(
    context: grpc.aio.ServicerContext,
    request: ModelInferRequest,
    *,
    final: bool,
    text: str | None = None,
    num: int | None = None,
) -> None:
    message = ModelStreamInferResponse()
    response = message.infer_response
    response.model_name, response.model_version, response.id = request.model_name, "1", request.id
    response.parameters[FINAL_PARAMETER].bool_param = final
    flags = {tensor.name for tensor in request.inputs}
    if text is not None:
        response.outputs.add(name="text_output", datatype="BYTES", shape=[1, 1])
        response.raw_output_contents.append(struct.pack("<I", len(text)) + text.encode())
    if num is not None and "return_num_output_tokens" in flags:
        response.outputs.add(name="num_output_tokens", datatype="INT32", shape=[1, 1])
        response.raw_output_contents.append(struct.pack("<i", num))
    if num is not None and "return_num_input_tokens" in flags:
        response.outputs.add(name="num_input_tokens", datatype="INT32", shape=[1, 1])
        response.raw_output_contents.append(struct.pack("<i", 7))
    await context.write(message.SerializeToString())


def _text(request: ModelInferRequest) -> str:
    for index, tensor in enumerate(request.inputs):
        if tensor.name == "text_input":
            if request.raw_input_contents:
                return request.raw_input_contents[index][4:].decode()
            return tensor.contents.bytes_contents[0].decode()
    return "tokens=3"


def a_request(
    prompt: str = "tokens=3",
    *,
    id: str = "c1",
    model: str = "ensemble",
    max_tokens: int = 100,
    raw: bool = True,
    stream: bool = True,
) -> ModelInferRequest:
    """A caller's request to a text model."""
    message = ModelInferRequest(model_name=model, id=id)
    values = (
        ("text_input", "BYTES", prompt),
        ("max_tokens", "INT32", max_tokens),
        ("stream", "BOOL", stream),
    )
    for name, datatype, value in values:
        tensor = message.inputs.add(name=name, datatype=datatype, shape=[1, 1])
        if datatype == "BYTES":
            encoded = str(value).encode()
            if raw:
                message.raw_input_contents.append(struct.pack("<I", len(encoded)) + encoded)
            else:
                tensor.contents.bytes_contents.append(encoded)
        elif datatype == "INT32":
            if raw:
                message.raw_input_contents.append(struct.pack("<i", int(value)))
            else:
                tensor.contents.int_contents.append(int(value))
        elif raw:
            message.raw_input_contents.append(struct.pack("<?", bool(value)))
        else:
            tensor.contents.bool_contents.append(bool(value))
    return message
