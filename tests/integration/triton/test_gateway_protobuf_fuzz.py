"""Whatever bytes come in over gRPC: a defined end, a gateway that lives, and nothing left behind."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from conftest import infer_request
from gateway_process import GatewayProcess, settings_for, until

from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.kserve import SERVICE, ModelInferRequest, ModelStreamInferResponse

WAIT_S = 10.0
CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "CANCELLED"}
METHODS = ("ModelInfer", "ModelStreamInfer")
MODELS = ("ensemble", "tensorrt_llm", "preprocessing", "nobody", "")
NAMES = (
    "text_input",
    "max_tokens",
    "stream",
    "input_ids",
    "input_lengths",
    "request_output_len",
    "stop",
    "x",
)
DATATYPES = ("BYTES", "INT32", "BOOL", "UINT64", "FP32", "nonsense", "")

a_few = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def gateway(
    direct_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """Ended only after it was found whole: alive, nothing queued or running, no traceback in its log."""
    folder = tmp_path_factory.mktemp("gateway")
    process = GatewayProcess(settings_for(direct_triton, limits={"messageBytes": 20_000}), folder)
    try:
        process.wait_ready()
        yield process
        until(lambda: process.queue() == (0, 0), WAIT_S)
        status = process.status()
        assert status["engine"]["kv_blocks_reserved"] == 0
        assert status["queue"]["queued_bytes"] == 0
        assert process.is_ready
        assert "Traceback" not in (folder / "gateway.log").read_text()
    finally:
        process.close()


@pytest.fixture(scope="module")
def channel(gateway: GatewayProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gateway.grpc_address) as channel:
        yield channel


def a_good_message() -> bytes:
    message = infer_request("ensemble", "f1", text_input="Hello there.", max_tokens=2, stream=True)
    encoded: bytes = message.SerializeToString()
    return encoded


def end_of(channel: grpc.Channel, method: str, bodies: list[bytes]) -> tuple[str, list[bytes]]:
    """Code and messages of a call."""
    path = f"/{SERVICE}/{method}"
    answers: list[bytes] = []
    try:
        if method == "ModelInfer":
            answers.append(channel.unary_unary(path)(bodies[0], timeout=WAIT_S))
        else:
            answers += channel.stream_stream(path)(iter(bodies), timeout=WAIT_S)
    except grpc.RpcError as error:
        return error.code().name if error.details() else "no words", answers
    return "OK", answers


def is_message(body: bytes) -> bool:
    try:
        ModelInferRequest.FromString(body)
    except DecodeError:
        return False
    return True


def check(channel: grpc.Channel, method: str, *bodies: bytes) -> None:
    """Each request has a defined end, and a good one is served afterwards."""
    code, answers = end_of(channel, method, list(bodies))
    # What cannot be decoded goes to Triton as it is, whose library has this code for it.
    assert code in CODES or (code == "INTERNAL" and method == "ModelInfer" and not is_message(bodies[0]))
    if code == "OK":
        assert answers
    code, answers = end_of(channel, "ModelStreamInfer", [a_good_message()])
    assert code == "OK"
    told = [ModelStreamInferResponse.FromString(answer) for answer in answers]
    assert [answer.error_message for answer in told] == ["", ""]
    assert {answer.infer_response.id for answer in told} == {"f1"}


@a_few
@given(method=st.sampled_from(METHODS), body=st.binary(max_size=300))
def test_fuzz_any_bytes(channel: grpc.Channel, method: str, body: bytes) -> None:
    check(channel, method, body)


@a_few
@given(
    method=st.sampled_from(METHODS),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_fuzz_a_good_message_with_some_bytes_changed(
    channel: grpc.Channel, method: str, changes: list[tuple[int, int]], cut: int | None
) -> None:
    body = bytearray(a_good_message())
    for place, value in changes:
        body[place % len(body)] = value
    check(channel, method, bytes(body if cut is None else body[: cut % len(body)]))


tensors = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(DATATYPES),
    st.lists(st.sampled_from((-1, 0, 1, 2, 3, 1 << 33)), max_size=3),
    st.one_of(st.binary(max_size=12), st.sampled_from((b"\x02\0\0\0", b"\x02\0\0\0ab", b"\x01"))),
)


@a_few
@given(
    method=st.sampled_from(METHODS),
    model=st.sampled_from(MODELS),
    inputs=st.lists(tensors, max_size=5),
    num_raw=st.integers(-2, 2),
    outputs=st.lists(st.sampled_from(("text_output", "num_output_tokens", "x")), max_size=2),
)
def test_fuzz_tensors_whose_contents_do_not_match(
    channel: grpc.Channel,
    method: str,
    model: str,
    inputs: list[tuple[str, str, list[int], bytes]],
    num_raw: int,
    outputs: list[str],
) -> None:
    message = ModelInferRequest(model_name=model, id="f2")
    for name, datatype, shape, _ in inputs:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
    for name in outputs:
        message.outputs.add(name=name)
    contents = [raw for *_, raw in inputs] + [b""] * max(num_raw, 0)
    message.raw_input_contents.extend(contents[: len(inputs) + num_raw])
    check(channel, method, message.SerializeToString())


@a_few
@given(bodies=st.lists(st.one_of(st.binary(max_size=60), st.just(a_good_message())), min_size=2, max_size=5))
def test_fuzz_several_messages_on_a_stream(channel: grpc.Channel, bodies: list[bytes]) -> None:
    check(channel, "ModelStreamInfer", *bodies)


def test_fuzz_a_message_beyond_the_limit(channel: grpc.Channel) -> None:
    for method in METHODS:
        code, _ = end_of(channel, method, [a_good_message() + b"x" * 30_000])
        assert code == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("model", ["ensemble", "preprocessing"])
def test_a_text_longer_than_its_bytes_harms_nobody_else(channel: grpc.Channel, model: str) -> None:
    """Triton would fail every request that shares a batch with it."""
    bad = ModelInferRequest(model_name=model, id="bad")
    bad.inputs.add(name="text_input" if model == "ensemble" else "QUERY", datatype="BYTES", shape=[1, 1])
    bad.raw_input_contents.append(b"\xff\xff\xff\x7fabc")
    for method in METHODS:
        code, answers = end_of(channel, method, [bad.SerializeToString()])
        told = [ModelStreamInferResponse.FromString(answer) for answer in answers]
        assert code == ("INVALID_ARGUMENT" if method == "ModelInfer" else "OK")
        assert all(answer.error_message.startswith("incomplete string data") for answer in told)


def test_the_classes_of_a_text_harm_nobody_whatever_the_model(
    gateway: GatewayProcess, channel: grpc.Channel
) -> None:
    """Triton 2.51 crashes."""
    bad = ModelInferRequest(model_name="postprocessing", id="bad")
    for name, shape in (("TOKENS_BATCH", [1, 1, 1]), ("SEQUENCE_LENGTH", [1, 1])):
        bad.inputs.add(name=name, datatype="INT32", shape=shape).contents.int_contents.append(1)
    bad.outputs.add(name="OUTPUT").parameters["classification"].int64_param = 1
    for method in METHODS:
        check(channel, method, bad.SerializeToString())
    inputs = [
        {"name": tensor.name, "datatype": "INT32", "shape": list(tensor.shape), "data": [1]}
        for tensor in bad.inputs
    ]
    outputs = [{"name": "OUTPUT", "parameters": {"classification": 1}}]
    body = json.dumps({"inputs": inputs, "outputs": outputs})
    connection = http.client.HTTPConnection(gateway.http_address, timeout=WAIT_S)
    connection.request("POST", "/v2/models/postprocessing/infer", body)
    assert b"has no classification" in connection.getresponse().read()
    connection.close()
    check(channel, "ModelInfer", a_good_message())
