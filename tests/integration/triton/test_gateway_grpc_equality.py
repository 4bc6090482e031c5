"""For the same request the same bytes come back through the gateway as from Triton directly.

Ids, tensors, parameters, the order and number of messages, errors inside the stream and as a status. The
differences that remain are documented; each has a test below.
"""

from __future__ import annotations

import queue
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient import grpc as triton_grpc
from tritonclient.grpc import aio as triton_aio
from tritonclient.utils import InferenceServerException

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, settings_for, unary, until

from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.kserve import (
    FINAL_PARAMETER,
    SERVICE,
    ModelConfigRequest,
    ModelConfigResponse,
    ModelInferRequest,
    ModelMetadataRequest,
    ModelReadyRequest,
    RepositoryIndexRequest,
)

AS_STATUS = (("triton_grpc_error", "true"),)


@pytest.fixture(scope="module")
def gateway(
    direct_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(settings_for(direct_triton), tmp_path_factory.mktemp("gateway"))
    gateway.wait_ready()
    yield gateway
    gateway.close()


def a_request(
    prompt: str, *, model: str = "ensemble", max_tokens: int = 100, stream: bool = True, typed: bool = False
) -> ModelInferRequest:
    message = ModelInferRequest(model_name=model, id="mine")
    text = prompt.encode()
    for name, kind, value in (
        ("text_input", "BYTES", struct.pack("<I", len(text)) + text),
        ("max_tokens", "INT32", struct.pack("<i", max_tokens)),
        ("stream", "BOOL", struct.pack("<?", stream)),
    ):
        tensor = message.inputs.add(name=name, datatype=kind, shape=[1, 1])
        if not typed:
            message.raw_input_contents.append(value)
        elif kind == "BYTES":
            tensor.contents.bytes_contents.append(text)
        elif kind == "INT32":
            tensor.contents.int_contents.append(max_tokens)
        else:
            tensor.contents.bool_contents.append(stream)
    return message


def changed(message: ModelInferRequest, change: Callable[[ModelInferRequest], object]) -> ModelInferRequest:
    change(message)
    return message


def without_max_tokens(message: ModelInferRequest) -> None:
    del message.inputs[1], message.raw_input_contents[1]


def with_flag(name: str) -> Callable[[ModelInferRequest], None]:
    def add(message: ModelInferRequest) -> None:
        message.inputs.add(name=name, datatype="BOOL", shape=[1, 1])
        message.raw_input_contents.append(b"\x01")

    return add


def with_parameter(name: str) -> Callable[[ModelInferRequest], None]:
    def add(message: ModelInferRequest) -> None:
        message.parameters[name].bool_param = True

    return add


def with_priority(message: ModelInferRequest) -> None:
    message.parameters["priority"].uint64_param = 2
    message.parameters["timeout"].int64_param = 10_000_000


CASES: dict[str, Callable[[str], ModelInferRequest]] = {
    "streamed": a_request,
    "typed contents": lambda prompt: a_request(prompt, typed=True),
    "one answer": lambda prompt: a_request(prompt, stream=False),
    "cut off": lambda prompt: a_request(prompt, max_tokens=3),
    "no id": lambda prompt: changed(a_request(prompt), lambda m: m.ClearField("id")),
    "a version": lambda prompt: changed(a_request(prompt), lambda m: setattr(m, "model_version", "1")),
    "one output": lambda prompt: changed(a_request(prompt), lambda m: m.outputs.add(name="text_output")),
    "counted": lambda prompt: changed(a_request(prompt), with_flag("return_num_output_tokens")),
    "counted in one": lambda prompt: changed(
        a_request(prompt, stream=False), with_flag("return_num_input_tokens")
    ),
    "empty final": lambda prompt: changed(
        a_request(prompt), with_parameter("triton_enable_empty_final_response")
    ),
    "priority and timeout": lambda prompt: changed(a_request(prompt), with_priority),
    "a private parameter": lambda prompt: changed(a_request(prompt), with_parameter("mine")),
    "a reserved parameter": lambda prompt: changed(a_request(prompt), with_parameter("triton_x")),
    "unknown input": lambda prompt: changed(a_request(prompt), with_flag("no_such_input")),
    "unknown output": lambda prompt: changed(a_request(prompt), lambda m: m.outputs.add(name="nothing")),
    "unknown model": lambda prompt: a_request(prompt, model="nobody"),
    "unknown version": lambda prompt: changed(a_request(prompt), lambda m: setattr(m, "model_version", "7")),
    "another kind of model": lambda prompt: a_request(prompt, model="preprocessing"),
}


def exchanged(
    address: str, message: ModelInferRequest, metadata: tuple[tuple[str, str], ...]
) -> list[object]:
    return [
        answer if isinstance(answer, tuple) else answer.SerializeToString(deterministic=True)
        for answer in Exchange(address, message, metadata=metadata).rest()
    ]


@pytest.mark.parametrize("metadata", [(), AS_STATUS], ids=["in band", "as status"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_bytes_come_back(direct_triton, gateway, known, case, metadata):
    message = CASES[case](known.short.prompt)
    direct = exchanged(direct_triton.grpc_address, message, metadata)
    assert direct
    assert exchanged(gateway.grpc_address, message, metadata) == direct


def test_a_missing_input_is_named_where_triton_ends_without_a_word(direct_triton, gateway, known):
    message = changed(a_request(known.short.prompt), without_max_tokens)
    assert exchanged(direct_triton.grpc_address, message, AS_STATUS) == []
    assert exchanged(gateway.grpc_address, message, AS_STATUS) == [
        ("INVALID_ARGUMENT", "input 'max_tokens' is missing")
    ]


def engine_request(max_tokens: int) -> ModelInferRequest:
    message = ModelInferRequest(model_name="tensorrt_llm", id="mine")
    for name, kind, values in (
        ("input_ids", "INT32", [70, 71, 72]),
        ("input_lengths", "INT32", [3]),
        ("request_output_len", "INT32", [max_tokens]),
        ("streaming", "BOOL", [True]),
    ):
        message.inputs.add(name=name, datatype=kind, shape=[1, len(values)])
        message.raw_input_contents.append(
            struct.pack(f"<{len(values)}{'?' if kind == 'BOOL' else 'i'}", *values)
        )
    return message


def test_the_engine_model_itself_answers_the_same(direct_triton, gateway):
    direct = exchanged(direct_triton.grpc_address, engine_request(3), ())
    assert len(direct) == 3
    assert exchanged(gateway.grpc_address, engine_request(3), ()) == direct
    assert gateway.status()["counters"]["received"] > 0


def test_an_engine_error_has_the_same_words_but_for_the_engines_own_number(direct_triton, gateway):
    def error_of(address: str) -> str:
        (answer,) = Exchange(address, a_request("word " * 30_000)).rest()
        assert answer.infer_response.id == "mine"
        assert answer.infer_response.model_name == "ensemble"
        assert answer.infer_response.parameters[FINAL_PARAMETER].bool_param
        return "".join(character for character in answer.error_message if not character.isdigit())

    assert error_of(gateway.grpc_address) == error_of(direct_triton.grpc_address)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("ServerLive", None),
        ("ServerReady", None),
        ("ServerMetadata", None),
        ("ModelReady", ModelReadyRequest(name="ensemble")),
        ("ModelReady", ModelReadyRequest(name="nobody")),
        ("ModelMetadata", ModelMetadataRequest(name="ensemble")),
        ("ModelMetadata", ModelMetadataRequest(name="nobody")),
        ("RepositoryIndex", RepositoryIndexRequest()),
        ("ModelInfer", ModelInferRequest(model_name="ensemble", id="mine")),
        ("ModelInfer", ModelInferRequest(model_name="nobody", id="mine")),
        ("NoSuchMethod", None),
    ],
    ids=str,
)
def test_other_methods_answer_the_same(direct_triton, gateway, method, request_):
    body = b"" if request_ is None else request_.SerializeToString()
    assert unary(gateway.grpc_address, method, body) == unary(direct_triton.grpc_address, method, body)


def test_the_configuration_is_the_same(direct_triton, gateway):
    body = ModelConfigRequest(name="tensorrt_llm").SerializeToString()
    direct, through = (
        ModelConfigResponse.FromString(unary(address, "ModelConfig", body))  # maps come in any order
        for address in (direct_triton.grpc_address, gateway.grpc_address)
    )
    assert through == direct
    assert through.config.max_batch_size


def test_a_health_check_answers_the_same(direct_triton, gateway):
    direct, through = (
        unary(address, "Check", service="grpc.health.v1.Health")
        for address in (direct_triton.grpc_address, gateway.grpc_address)
    )
    assert through == direct


def test_an_engine_error_as_a_status_ends_the_stream_for_all_its_requests(gateway, known):
    """Seen through the gateway only: asked directly, Triton 2.51 itself ends with a crash."""
    messages = [a_request(known.very_long.prompt, max_tokens=2000), a_request("word " * 30_000)]
    with grpc.insecure_channel(gateway.grpc_address) as channel:
        call = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(
            iter([message.SerializeToString() for message in messages]), metadata=AS_STATUS, timeout=30
        )
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
    assert "in ensemble 'ensemble'" in caught.value.details()
    until(lambda: gateway.queue() == (0, 0), wait_s=5)


def tritonclient_inputs(prompt: str, kind: ModuleType) -> list[Any]:
    message = a_request(prompt)
    inputs = [kind.InferInput(tensor.name, list(tensor.shape), tensor.datatype) for tensor in message.inputs]
    for tensor, raw in zip(inputs, message.raw_input_contents, strict=True):
        tensor._raw_content = raw
    return inputs


def tritonclient_text_input(name: str, text: str) -> triton_grpc.InferInput:
    tensor = triton_grpc.InferInput(name, [1, 1], "BYTES")
    return tensor.set_data_from_numpy(np.array([[text.encode()]], dtype=np.object_))


def tritonclient_number_input(name: str, number: int) -> triton_grpc.InferInput:
    tensor = triton_grpc.InferInput(name, [1, 1], "INT32")
    return tensor.set_data_from_numpy(np.array([[number]], dtype=np.int32))


def test_tritonclient_streams_unchanged(gateway, known):
    client = triton_grpc.InferenceServerClient(gateway.grpc_address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("ensemble")
    answers: queue.Queue[tuple[triton_grpc.InferResult | None, Exception | None]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    inputs = tritonclient_inputs(known.short.prompt, triton_grpc)
    for number in (1, 2):
        client.async_stream_infer("ensemble", inputs, request_id=str(number))
    finals: set[str] = set()
    counts = {"1": 0, "2": 0}
    while finals != {"1", "2"}:
        result, error = answers.get(timeout=30)
        assert error is None
        response = result.get_response()
        counts[response.id] += 1
        if response.parameters[FINAL_PARAMETER].bool_param:
            finals.add(response.id)
    client.stop_stream()
    client.close()
    assert counts == dict.fromkeys("12", known.short.output_tokens[0])


async def test_tritonclient_aio_streams_unchanged(gateway, known):
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in (1, 2):
            inputs = tritonclient_inputs(known.short.prompt, triton_aio)
            yield {"model_name": "ensemble", "inputs": inputs, "request_id": str(number)}

    counts = {"1": 0, "2": 0}
    async with triton_aio.InferenceServerClient(gateway.grpc_address) as client:
        assert await client.is_model_ready("ensemble")
        async for result, error in client.stream_infer(requests()):
            assert error is None
            counts[result.get_response().id] += 1
    assert counts == dict.fromkeys("12", known.short.output_tokens[0])


def test_tritonclient_infer_and_its_errors_are_unchanged(direct_triton, gateway):
    inputs = [
        tritonclient_text_input("QUERY", "Name a colour"),
        tritonclient_number_input("REQUEST_OUTPUT_LEN", 8),
    ]

    def answers(address: str) -> list[Any]:
        with triton_grpc.InferenceServerClient(address) as client:
            ids = client.infer("preprocessing", inputs).as_numpy("INPUT_ID").tolist()
            failures = []
            for model, given in (("preprocessing", inputs[:1]), ("ensemble", []), ("nobody", inputs)):
                with pytest.raises(InferenceServerException) as caught:
                    client.infer(model, given)
                failures.append((caught.value.status(), caught.value.message()))
            return [ids, *failures]

    direct = answers(direct_triton.grpc_address)
    assert direct[0]
    assert answers(gateway.grpc_address) == direct


def test_tritonclient_manages_only_what_is_allowed(direct_triton, gateway):
    with triton_grpc.InferenceServerClient(gateway.grpc_address) as client:
        with pytest.raises(InferenceServerException, match=r"admin\.allow") as caught:
            client.unload_model("ensemble")
        assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
        with pytest.raises(InferenceServerException, match=r"admin\.allow"):
            client.update_log_settings({"log_verbose_level": 1})
        with triton_grpc.InferenceServerClient(direct_triton.grpc_address) as direct:
            assert client.get_log_settings() == direct.get_log_settings()
            assert client.get_system_shared_memory_status() == direct.get_system_shared_memory_status()
