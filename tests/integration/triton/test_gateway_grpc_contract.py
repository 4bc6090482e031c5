"""RPC by RPC: the gateway against Triton, and what the gateway adds to Triton's gRPC face.

The list of RPCs is that of the service's descriptor, so that a new one cannot be forgotten here.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2 as messages

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, settings_for, unary, until

from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.settings.sections.admin import ADMIN_GROUPS

SERVICE = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
RPCS = {rpc.name: rpc for rpc in SERVICE.methods}
HANDLE = b"\x00" * 64  # of memory on a GPU that is not there


@pytest.fixture(scope="module")
def open_gateway(
    direct_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway through which everything is allowed."""
    settings = settings_for(direct_triton, admin={"allow": list(ADMIN_GROUPS)})
    with contextlib.closing(GatewayProcess(settings, tmp_path_factory.mktemp("open"))) as gateway:
        gateway.wait_ready()
        yield gateway


@pytest.fixture(scope="module")
def gateway(
    direct_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway as it is by default."""
    settings = settings_for(direct_triton)
    with contextlib.closing(GatewayProcess(settings, tmp_path_factory.mktemp("closed"))) as gateway:
        gateway.wait_ready()
        yield gateway


@pytest.fixture
def start(direct_triton: TritonServer, tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """Starts a gateway with settings of its own."""
    with contextlib.ExitStack() as stack:

        def start_one(**changes: Any) -> GatewayProcess:
            gateway = GatewayProcess(settings_for(direct_triton, **changes), tmp_path)
            stack.callback(gateway.close)
            gateway.wait_ready()
            return gateway

        yield start_one


def a_setting(request: Message, key: str, **value: object) -> Message:
    for name, content in value.items():
        if name == "value":
            request.settings[key].value.append(content)
        else:
            setattr(request.settings[key], name, content)
    return request


def inference(model: str, *, max_tokens: int = 8, **tensors: str) -> messages.ModelInferRequest:
    """A request of text tensors [1, 1], with a cap on tokens where the model is a generating one."""
    request = messages.ModelInferRequest(model_name=model, id="mine")
    for name, text in tensors.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1, 1])
        encoded = text.encode()
        request.raw_input_contents.append(struct.pack("<I", len(encoded)) + encoded)
    cap = {"ensemble": "max_tokens", "preprocessing": "REQUEST_OUTPUT_LEN"}[model]
    request.inputs.add(name=cap, datatype="INT32", shape=[1, 1])
    request.raw_input_contents.append(struct.pack("<i", max_tokens))
    return request


ASKED: dict[str, list[Message]] = {
    "ServerLive": [messages.ServerLiveRequest()],
    "ServerReady": [messages.ServerReadyRequest()],
    "ModelReady": [messages.ModelReadyRequest(name=name) for name in ("ensemble", "nobody")],
    "ServerMetadata": [messages.ServerMetadataRequest()],
    "ModelMetadata": [messages.ModelMetadataRequest(name=name) for name in ("tensorrt_llm", "nobody")],
    "ModelInfer": [
        inference("preprocessing", QUERY="Name a colour"),
        inference("ensemble", text_input="Name a colour"),
        messages.ModelInferRequest(model_name="nobody"),
    ],
    "ModelStreamInfer": [
        inference("ensemble", text_input="Name a colour"),
        inference("preprocessing", QUERY="Name a colour"),
        messages.ModelInferRequest(model_name="nobody"),
    ],
    "ModelConfig": [messages.ModelConfigRequest(name=name) for name in ("ensemble", "nobody")],
    "ModelStatistics": [messages.ModelStatisticsRequest(name=name) for name in ("ensemble", "nobody")],
    "RepositoryIndex": [messages.RepositoryIndexRequest(), messages.RepositoryIndexRequest(ready=True)],
    "RepositoryModelLoad": [
        messages.RepositoryModelLoadRequest(model_name=name) for name in ("postprocessing", "nobody")
    ],
    "RepositoryModelUnload": [messages.RepositoryModelUnloadRequest(model_name="nobody")],
    "SystemSharedMemoryStatus": [messages.SystemSharedMemoryStatusRequest(name=name) for name in ("", "r")],
    "SystemSharedMemoryRegister": [
        messages.SystemSharedMemoryRegisterRequest(name="r", key="/sagesched-nothing", byte_size=8)
    ],
    "SystemSharedMemoryUnregister": [messages.SystemSharedMemoryUnregisterRequest(name="r")],
    "CudaSharedMemoryStatus": [messages.CudaSharedMemoryStatusRequest(name=name) for name in ("", "r")],
    "CudaSharedMemoryRegister": [
        messages.CudaSharedMemoryRegisterRequest(name="r", raw_handle=HANDLE, byte_size=8)
    ],
    "CudaSharedMemoryUnregister": [messages.CudaSharedMemoryUnregisterRequest(name="r")],
    "TraceSetting": [
        messages.TraceSettingRequest(),
        a_setting(messages.TraceSettingRequest(), "trace_rate", value="1000"),
        a_setting(messages.TraceSettingRequest(), "no_such_setting", value="1"),
    ],
    "LogSettings": [
        messages.LogSettingsRequest(),
        a_setting(messages.LogSettingsRequest(), "log_verbose_level", uint32_param=0),
        a_setting(messages.LogSettingsRequest(), "no_such_setting", bool_param=True),
    ],
}
"""What each RPC is asked."""

MANAGEMENT = {
    "RepositoryModelLoad": "model-repository",
    "RepositoryModelUnload": "model-repository",
    "SystemSharedMemoryRegister": "shared-memory",
    "SystemSharedMemoryUnregister": "shared-memory",
    "CudaSharedMemoryRegister": "shared-memory",
    "CudaSharedMemoryUnregister": "shared-memory",
    "TraceSetting": "trace",
    "LogSettings": "logging",
}


def answer(address: str, rpc: str, request: Message) -> object:
    """The answer as messages (maps come in any order), or (code, details)."""
    if rpc == "ModelStreamInfer":
        return [answer for answer in Exchange(address, request).rest() if answer.infer_response.outputs]
    got = unary(address, rpc, request.SerializeToString())
    return got if isinstance(got, tuple) else GetMessageClass(RPCS[rpc].output_type).FromString(got)


def deaf_caller(address: str, request: Message) -> socket.socket:
    """A caller in HTTP/2 that lets 1000 bytes come and no more, as no gRPC library would."""
    host, _, port = address.partition(":")
    connection = socket.create_connection((host, int(port)))
    body = request.SerializeToString()
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/{SERVICE.full_name}/ModelStreamInfer",
        ":authority": "gateway",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    literal = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, 1000))
        + _frame(_HEADERS, _END_HEADERS, 1, literal)
        + _frame(_DATA, _END_STREAM, 1, struct.pack(">BI", 0, len(body)) + body)
    )
    return connection


_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_INITIAL_WINDOW_SIZE = 4


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


@pytest.mark.parametrize("rpc", RPCS)
def test_an_rpc_answers_as_triton_does(direct_triton, open_gateway, rpc):
    for request in ASKED[rpc]:
        direct = answer(direct_triton.grpc_address, rpc, request)
        assert answer(open_gateway.grpc_address, rpc, request) == direct


def test_every_rpc_succeeds_once(open_gateway):
    """Or the comparison would be one of errors; CUDA memory needs a GPU, system memory a region."""
    failing = {
        rpc
        for rpc, requests in ASKED.items()
        if all(isinstance(answer(open_gateway.grpc_address, rpc, request), tuple) for request in requests)
    }
    assert failing <= {"CudaSharedMemoryRegister", "SystemSharedMemoryRegister"}


@pytest.mark.parametrize("rpc", RPCS)
def test_management_is_refused_by_default(direct_triton, gateway, rpc):
    for request in ASKED[rpc]:
        only_reads = rpc in ("TraceSetting", "LogSettings") and not request.settings
        through = answer(gateway.grpc_address, rpc, request)
        if rpc in MANAGEMENT and not only_reads:
            assert through[0] == "PERMISSION_DENIED"
            assert f"group {MANAGEMENT[rpc]} of admin.allow" in through[1]
        else:
            assert through == answer(direct_triton.grpc_address, rpc, request)


def test_a_refusal_carries_its_word(gateway):
    with grpc.insecure_channel(gateway.grpc_address) as channel:
        call = channel.unary_unary(f"/{SERVICE.full_name}/RepositoryModelUnload")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"")
    assert dict(caught.value.trailing_metadata())["x-sagesched-error"] == "forbidden"


def test_a_model_unloaded_and_loaded_through_the_gateway_is_noticed(open_gateway, known):
    address = open_gateway.grpc_address
    unload = messages.RepositoryModelUnloadRequest(model_name="ensemble")
    assert not isinstance(answer(address, "RepositoryModelUnload", unload), tuple)
    try:
        request = inference("ensemble", text_input=known.short.prompt)
        until(lambda: "ensemble" in Exchange(address, request).rest()[0].error_message)
        assert not answer(address, "ModelReady", messages.ModelReadyRequest(name="ensemble")).ready
    finally:
        load = messages.RepositoryModelLoadRequest(model_name="ensemble")
        assert not isinstance(answer(address, "RepositoryModelLoad", load), tuple)
    before = open_gateway.status()["counters"]["received"]
    until(lambda: Exchange(address, request).rest()[0].infer_response.outputs)
    assert open_gateway.status()["counters"]["received"] > before


def test_health_is_watched_to_the_end(start):
    gateway = start()
    with grpc.insecure_channel(gateway.grpc_address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        gateway.signal(signal.SIGTERM)
        assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_reflection_describes_the_service_as_the_client_knows_it(gateway):
    with grpc.insecure_channel(gateway.grpc_address) as channel:
        described = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE.full_name, "grpc.health.v1.Health"} <= set(described.get_services())
        file = described.FindFileContainingSymbol(SERVICE.full_name)
    assert {rpc.name for rpc in file.service[0].method} == set(RPCS)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_full_queue_is_said_with_the_configured_code(start, known, code):
    gateway = start(engine={"slots": 1, "lookahead": 0}, limits={"queuedRequests": 1, "fullCode": code})
    request = inference("ensemble", max_tokens=2000, text_input=known.very_long.prompt)
    holding = []
    try:
        for number in range(2):
            holding.append(Exchange(gateway.grpc_address, request))
            until(lambda number=number: sum(gateway.queue()) == number + 1)
        with grpc.insecure_channel(gateway.grpc_address) as channel:
            method = channel.stream_stream(f"/{SERVICE.full_name}/ModelStreamInfer")
            body = request.SerializeToString()
            call = method(iter([body]), metadata=(("triton_grpc_error", "true"),), timeout=30)
            with pytest.raises(grpc.RpcError) as caught:
                next(call)
        assert caught.value.code().name == code
        trailing = dict(caught.value.trailing_metadata())
        assert trailing["x-sagesched-error"] == "queue-full"
        # What waits is predicted to take about that long.
        assert 1 <= int(trailing["retry-after"]) <= 60
        (in_band,) = Exchange(gateway.grpc_address, request).rest()
        assert "which is the limit" in in_band.error_message
    finally:
        for exchange in holding:
            exchange.cancel()


@pytest.mark.parametrize(
    "limits", [{"unreadBytes": 1024}, {"slowReaderSeconds": 0.5}], ids=["too much unread", "for too long"]
)
def test_a_caller_that_does_not_read_is_cut_and_the_engine_stopped(start, known, limits):
    gateway = start(limits=limits)
    request = inference("ensemble", max_tokens=2000, text_input=known.very_long.prompt)
    request.inputs.add(name="stream", datatype="BOOL", shape=[1, 1])
    request.raw_input_contents.append(b"\x01")
    with contextlib.closing(deaf_caller(gateway.grpc_address, request)):
        until(lambda: gateway.status()["counters"].get("received"))
        until(lambda: gateway.queue() == (0, 0))
    counters = gateway.status()["counters"]
    assert (counters["cancelled"], counters.get("completed", 0)) == (1, 0)


def test_a_request_longer_than_the_engine_is_refused(start, known):
    gateway = start(engine={"kvBlocks": 4, "blockTokens": 16})
    request = inference("ensemble", max_tokens=2000, text_input=known.short.prompt)
    (refused,) = Exchange(gateway.grpc_address, request, metadata=(("triton_grpc_error", "true"),)).rest()
    assert refused[0] == "INVALID_ARGUMENT"


def test_the_report_tells_what_a_request_waited(gateway, known):
    request = inference("ensemble", text_input=known.short.prompt)
    request.parameters["x-sagesched-report"].bool_param = True
    first, *others = Exchange(gateway.grpc_address, request).rest()
    assert first.infer_response.parameters["x-sagesched-queue-time"].double_param >= 0
    assert not any("x-sagesched-queue-time" in other.infer_response.parameters for other in others)
