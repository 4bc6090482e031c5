"""`infer` over HTTP of a model that generates text and answers once: through the gateway as from Triton."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException, serialize_byte_tensor, shared_memory

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import WAIT_S, GatewayProcess, settings_for, until
from http_fuzz import a_few, infer_bodies, post
from hypothesis import given
from hypothesis import strategies as st

from sagesched_emulator.triton_model.repository import Layout
from sagesched_emulator.triton_server import TritonServer

INFER = "/v2/models/tensorrt_llm/infer"


@pytest.fixture(scope="module")
def triton(answers_file: Path) -> Iterator[TritonServer]:
    with TritonServer(
        "slot-bound", time_scale=0.2, answers=answers_file, layout=Layout(name="llmapi")
    ) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(triton: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One slot, so that a second request waits."""
    settings = settings_for(triton, engine={"slots": 1, "lookahead": 0})
    process = GatewayProcess(settings, tmp_path_factory.mktemp("gateway"))
    try:
        process.wait_ready()
        yield process
    finally:
        process.close()


class Answer(NamedTuple):
    """What matters of an HTTP answer."""

    status: int
    content_type: str
    head_bytes: str | None
    encoding: str | None
    body: bytes


Ask = Callable[..., list[Answer]]


@pytest.fixture
def ask(gateway: GatewayProcess, triton: TritonServer) -> Ask:
    """The answers of gateway and Triton to the same bytes."""

    def ask_both(body: bytes, headers: dict[str, str] | None = None, path: str = INFER) -> list[Answer]:
        return [
            _post(f"http://{address}{path}", body, headers or {}) for address in _addresses(gateway, triton)
        ]

    return ask_both


def _addresses(gateway: GatewayProcess, triton: TritonServer) -> tuple[str, str]:
    return gateway.http_address, triton.http_address


def _post(url: str, body: bytes, headers: dict[str, str]) -> Answer:
    request = urllib.request.Request(url, body, headers)
    try:
        answer = urllib.request.urlopen(request, timeout=WAIT_S)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return Answer(
            answer.status,
            answer.headers.get("Content-Type", ""),
            answer.headers.get("Inference-Header-Content-Length"),
            answer.headers.get("Content-Encoding"),
            answer.read(),
        )


def a_body(prompt: str = "Name a river.", tokens: int = 4, **members: Any) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": [prompt]},
            {"name": "sampling_param_max_tokens", "datatype": "INT32", "shape": [1], "data": [tokens]},
        ]
    } | members


TEXT_ONLY = {"outputs": [{"name": "text_output"}]}


@pytest.mark.parametrize(
    "body",
    [
        a_body(),
        a_body("Name a colour – ärger dich nicht 🙂", 100, id="mine", **TEXT_ONLY),
        a_body(parameters={"binary_data_output": True}),
        a_body(outputs=[{"name": "text_output", "parameters": {"binary_data": True}}]),
        a_body(
            outputs=[{"name": "finish_reason"}, {"name": "text_output", "parameters": {"binary_data": True}}]
        ),
        a_body(parameters={"custom": "x", "priority": 1, "timeout": 1_000_000, "share": 0.5}),
        a_body(parameters={"sequence_id": "abc", "sequence_start": True}),
        a_body(outputs=[]),
        a_body(
            outputs=[{"name": "text_output"}, {"name": "text_output", "parameters": {"binary_data": True}}]
        ),
    ],
)
def test_json_requests_are_answered_as_by_triton(ask, body):
    through, direct = ask(json.dumps(body).encode())
    assert through.status == 200
    assert through == direct


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_encodings_are_taken_and_given_as_by_triton(ask, name, pack):
    unpack = gzip.decompress if name == "gzip" else zlib.decompress
    body = json.dumps(a_body(parameters={"binary_data_output": True})).encode()
    for headers, sent in (
        ({"Content-Encoding": name}, pack(body)),
        ({"Accept-Encoding": f"br, {name};q=0.5"}, body),
    ):
        through, direct = ask(sent, headers)
        assert through[:4] == direct[:4]
        assert through.status == 200
        if through.encoding:
            assert unpack(through.body) == unpack(direct.body)
        else:
            assert through.body == direct.body


def _without_data(body: dict[str, Any]) -> dict[str, Any]:
    del body["inputs"][0]["data"]
    return body


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"nope", {}),
        (b"[]", {}),
        (b"{}", {}),
        (json.dumps(a_body(id=7)).encode(), {}),
        (json.dumps(a_body(tokens="4")).encode(), {}),
        (json.dumps(a_body(prompt=7)).encode(), {}),
        (json.dumps(_without_data(a_body())).encode(), {}),
        (json.dumps(a_body(parameters={"triton_x": 1})).encode(), {}),
        (json.dumps(a_body(outputs=[{"name": "nothing"}])).encode(), {}),
        (json.dumps({"inputs": []}).encode(), {}),
        (json.dumps(a_body()).encode() + b"more", {"Inference-Header-Content-Length": "10"}),
        (json.dumps(a_body()).encode(), {"Inference-Header-Content-Length": "9999"}),
        (json.dumps(a_body()).encode(), {"Inference-Header-Content-Length": "0"}),
        (b"nope", {"Content-Encoding": "gzip"}),
    ],
)
def test_what_triton_refuses_is_refused(ask, body, headers):
    through, direct = ask(body, headers)
    assert direct.status in (400, 500)
    assert through.status == 400
    assert json.loads(through.body).keys() == {"error"}


@pytest.mark.parametrize("members", [{"id": "mine"}, {}])
def test_errors_of_triton_name_the_request_as_the_caller_did(ask, members):
    body = a_body(**members)
    body["inputs"].append(body["inputs"][1])
    through, direct = ask(json.dumps(body).encode())
    assert (through.status, through.body) == (direct.status, direct.body)
    region = {
        "name": "text_output",
        "parameters": {"shared_memory_region": "no", "shared_memory_byte_size": 9},
    }
    through, direct = ask(json.dumps(a_body(outputs=[region])).encode())
    assert (through.status, through.body) == (direct.status, direct.body)


def test_unknown_versions_and_models_are_told_alike(ask):
    body = json.dumps(a_body()).encode()
    for path in ("/v2/models/tensorrt_llm/versions/1/infer", "/v2/models/nothing/infer"):
        through, direct = ask(body, path=path)
        assert through[:1] + through[4:] == direct[:1] + direct[4:]


def inputs(prompt: str, tokens: int, *, binary: bool = True) -> list[triton_http.InferInput]:
    text = triton_http.InferInput("text_input", [1], "BYTES")
    text.set_data_from_numpy(np.array([prompt.encode()], dtype=np.object_), binary_data=binary)
    cap = triton_http.InferInput("sampling_param_max_tokens", [1], "INT32")
    cap.set_data_from_numpy(np.array([tokens], dtype=np.int32), binary_data=not binary)
    return [text, cap]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_tritonclient_works_unchanged(gateway, triton, binary, compression):
    results = []
    for address in _addresses(gateway, triton):
        with triton_http.InferenceServerClient(address) as client:
            answer = client.infer(
                "tensorrt_llm",
                inputs("Name a river.", 4, binary=binary),
                outputs=[triton_http.InferRequestedOutput("text_output", binary_data=binary)],
                request_id="mine",
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            results.append((answer.get_response(), answer.as_numpy("text_output").tolist()))
    assert results[0] == results[1]


def test_a_prompt_in_shared_memory_is_left_to_triton(gateway, triton):
    prompt = serialize_byte_tensor(np.array([b"Name a river."], dtype=np.object_)).item()
    key = f"/{uuid4().hex}"
    region = shared_memory.create_shared_memory_region("prompt", key, len(prompt))
    results = []
    try:
        shared_memory.set_shared_memory_region(region, [np.frombuffer(prompt, dtype=np.uint8)])
        with triton_http.InferenceServerClient(triton.http_address) as manager:
            manager.register_system_shared_memory("prompt", key, len(prompt))
        for address in _addresses(gateway, triton):
            text, cap = inputs("", 4)
            text.set_shared_memory("prompt", len(prompt))
            with triton_http.InferenceServerClient(address) as client:
                answer = client.infer("tensorrt_llm", [text, cap])
                results.append(answer.as_numpy("text_output").tolist())
    finally:
        with triton_http.InferenceServerClient(triton.http_address) as manager:
            manager.unregister_system_shared_memory("prompt")
        shared_memory.destroy_shared_memory_region(region)
    assert results[0] == results[1]


def test_async_infer_waits_in_the_gateway_and_not_in_the_engine(gateway):
    with triton_http.InferenceServerClient(gateway.http_address, concurrency=4) as client:
        calls = [
            client.async_infer("tensorrt_llm", inputs(f"Name river {number}.", 10), request_id=str(number))
            for number in range(4)
        ]
        answers = [call.get_result(timeout=WAIT_S) for call in calls]
    assert [answer.get_response()["id"] for answer in answers] == ["0", "1", "2", "3"]


def test_what_the_gateway_refuses_is_told(gateway):
    path = triton_http.InferInput("lora_path", [1], "BYTES")
    path.set_data_from_numpy(np.array([b"/etc"], dtype=np.object_))
    with (
        triton_http.InferenceServerClient(gateway.http_address) as client,
        pytest.raises(InferenceServerException, match="lora_path"),
    ):
        client.infer("tensorrt_llm", [*inputs("hi", 4), path])


def test_classes_of_a_text_are_refused_and_triton_lives(gateway, triton):
    """Asked directly, Triton 2.51 dies of it."""
    outputs = [triton_http.InferRequestedOutput("text_output", class_count=1)]
    with (
        triton_http.InferenceServerClient(gateway.http_address) as client,
        pytest.raises(InferenceServerException, match="has no classification"),
    ):
        client.infer("tensorrt_llm", inputs("hi", 4), outputs=outputs)
    triton.check_alive()


def test_they_are_refused_over_grpc_too(gateway, triton):
    text = triton_grpc.InferInput("text_input", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"hi"], dtype=np.object_))
    cap = triton_grpc.InferInput("sampling_param_max_tokens", [1], "INT32")
    cap.set_data_from_numpy(np.array([4], dtype=np.int32))
    outputs = [triton_grpc.InferRequestedOutput("text_output", class_count=1)]
    with (
        triton_grpc.InferenceServerClient(gateway.grpc_address) as client,
        pytest.raises(InferenceServerException, match="has no classification"),
    ):
        client.infer("tensorrt_llm", [text, cap], outputs=outputs)
    triton.check_alive()


def test_curl_is_told_how_long_it_waited(gateway):
    url = f"http://{gateway.http_address}{INFER}"
    command = ["curl", "-sS", "-i", "--max-time", "20", "-d", json.dumps(a_body(**TEXT_ONLY)), url]
    head, _, body = subprocess.run(command, capture_output=True, check=True).stdout.partition(b"\r\n\r\n")
    assert b"200 OK" in head
    assert b"x-sagesched-queue-time: " in head
    assert json.loads(body)["outputs"][0]["name"] == "text_output"


def test_a_caller_who_leaves_is_cancelled_in_the_engine(gateway):
    url = f"http://{gateway.http_address}{INFER}"
    command = ["curl", "-sS", "-d", json.dumps(a_body("Never stop.", 2000)), url]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as curl:
        until(lambda: gateway.queue() == (0, 1))
        waiting = threading.Thread(target=_post, args=(url, json.dumps(a_body()).encode(), {}))
        waiting.start()
        until(lambda: gateway.queue() == (1, 1))
        curl.kill()
    waiting.join(WAIT_S)
    until(lambda: gateway.queue() == (0, 0), wait_s=5)


@a_few
@given(
    head=infer_bodies("text_input", "sampling_param_max_tokens", "streaming", "stop"),
    tail=st.binary(max_size=20),
    told=st.integers(-1, 200) | st.none(),
)
def test_fuzz_infer(gateway, head, tail, told):
    text = json.dumps(head).encode()
    length = str(len(text) if told is None else told)
    post(gateway.http_address, INFER, text + tail, {"Inference-Header-Content-Length": length})


def test_fuzz_left_nothing_behind(gateway):
    until(lambda: gateway.queue() == (0, 0), wait_s=5)
    assert gateway.is_ready
