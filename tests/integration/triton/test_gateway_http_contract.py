"""The HTTP face to curl and tritonclient, beside Triton: bounds, management, attributes, real cancels."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import WAIT_S, GatewayProcess, settings_for, until

from sagesched_emulator.triton_server import TritonServer

BODY = {"text_input": "Name a river.", "max_tokens": 5, "min_tokens": 5}
LONG = 2000  # output tokens: some 10 s of the emulated engine, unless it is cancelled


class Answer(NamedTuple):
    """What curl got."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def told(self) -> tuple[int, str]:
        return self.status, self.body


def curl(url: str, *options: str, body: object = None) -> Answer:
    """One request by curl itself."""
    command = ["curl", "-sS", "-i", "--max-time", "20", *options, url]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    output = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    head, _, text = output.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, text)


@pytest.fixture(scope="module")
def gateway(
    direct_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    settings = settings_for(
        direct_triton,
        limits={"messageBytes": 100_000, "headerBytes": 4096, "jsonDepth": 16, "slowReaderSeconds": 1.0},
        attributes={"trustedNetworks": ["127.0.0.0/8"]},
        admin={"allow": ["logging"]},
    )
    process = GatewayProcess(settings, tmp_path_factory.mktemp("gateway"))
    try:
        process.wait_ready()
        yield process
    finally:
        process.close()


@pytest.fixture
def url(gateway: GatewayProcess) -> str:
    return f"http://{gateway.http_address}/v2"


@pytest.fixture
def direct(direct_triton: TritonServer) -> str:
    return f"http://{direct_triton.http_address}/v2"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/ensemble/generate", BODY | {"id": "mine"}),
        ("/models/ensemble/generate_stream", BODY | {"stream": True}),
        ("/models/ensemble/infer", {"inputs": []}),
        ("/models/preprocessing/infer", {"inputs": []}),
        ("/models/nothing/infer", {"inputs": []}),
        ("/models/nothing/generate", BODY),
        ("/repository/index", {}),
    ],
)
def test_curl_hears_what_triton_says(url, direct, path, body):
    assert curl(url + path, body=body).told == curl(direct + path, body=body).told


@pytest.mark.parametrize("path", ["", "/models/ensemble", "/models/ensemble/ready", "/models/nothing"])
def test_head_is_refused_as_by_triton(url, direct, path):
    for base in (url, direct):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(urllib.request.Request(base + path, method="HEAD"), timeout=WAIT_S)
        refusal.value.close()
        assert refusal.value.code == 405


def test_curl_is_told_how_long_it_waited(url):
    for path in ("generate", "generate_stream"):
        answer = curl(f"{url}/models/ensemble/{path}", body=BODY)
        assert 0 <= float(answer.headers["x-sagesched-queue-time"]) < 5


@pytest.mark.parametrize(
    "path",
    [
        "/repository/models/ensemble/load",
        "/repository/models/ensemble/unload",
        "/systemsharedmemory/region/r/register",
        "/systemsharedmemory/unregister",
        "/cudasharedmemory/region/r/register",
        "/models/ensemble/trace/setting",
        "/trace/setting",
        "/repository/models/../models/ensemble/%75nload",
    ],
)
def test_management_is_refused_unless_allowed(url, path):
    answer = curl(url + path, "--path-as-is", body={})
    assert (answer.status, answer.headers["x-sagesched-error"]) == (403, "forbidden")
    assert "is not allowed through this gateway" in json.loads(answer.body)["error"]


def test_allowed_management_and_looking_pass(url, direct):
    assert curl(url + "/logging", body={"log_verbose_level": 0}).status == 200
    for path in ("/logging", "/trace/setting", "/systemsharedmemory/status"):
        assert curl(url + path).told == curl(direct + path).told


def test_tritonclient_hears_the_refusal(gateway):
    with triton_http.InferenceServerClient(gateway.http_address) as client:
        assert {model["name"] for model in client.get_model_repository_index()} >= {"ensemble"}
        with pytest.raises(InferenceServerException, match="group model-repository"):
            client.unload_model("ensemble")
        assert client.is_model_ready("ensemble")


def test_tritonclient_hears_that_a_decoupled_model_is_not_for_infer(gateway, direct_triton):
    refusals = []
    for address in (gateway.http_address, direct_triton.http_address):
        with triton_http.InferenceServerClient(address) as client:
            prompt = triton_http.InferInput("text_input", [1, 1], "BYTES")
            prompt.set_data_from_numpy(np.array([["hi"]], dtype=np.object_))
            with pytest.raises(InferenceServerException) as refusal:
                client.async_infer("ensemble", [prompt]).get_result()
            refusals.append(str(refusal.value))
    assert refusals[0] == refusals[1]
    assert "decoupled transaction policy" in refusals[0]


@pytest.mark.parametrize("path", ["ensemble/generate", "preprocessing/infer"])
def test_too_large_bodies_are_refused(url, path):
    answer = curl(f"{url}/models/{path}", body={"text_input": "x" * 100_000})
    assert (answer.status, answer.headers["x-sagesched-error"]) == (413, "too-large")


def test_too_large_headers_are_refused(url):
    answer = curl(url, "-H", "X-Large: " + "x" * 5000)
    assert (answer.status, answer.headers["x-sagesched-error"]) == (413, "too-large")
    assert json.loads(answer.body)["error"].startswith("a line of the request's head is too long")


def test_too_deep_a_body_is_refused(url):
    answer = curl(f"{url}/models/ensemble/generate", body=json.loads("[" * 17 + "]" * 17))
    assert (answer.status, answer.headers["x-sagesched-error"]) == (400, "invalid-request")
    assert "nested deeper than 16 levels" in answer.body


def test_a_deadline_in_a_header_counts(url):
    generate = f"{url}/models/ensemble/generate"
    answer = curl(
        generate, "-H", "x-sagesched-deadline: 0.2", body=BODY | {"max_tokens": LONG, "min_tokens": LONG}
    )
    assert (answer.status, answer.headers["x-sagesched-error"]) == (504, "deadline-exceeded")
    assert curl(generate, "-H", "x-sagesched-priority: high", body=BODY).status == 400
    inside = BODY | {"parameters": {"x-sagesched-tenant": "mine", "x-sagesched-report": True}}
    assert curl(generate, body=inside).status == 200


@pytest.mark.parametrize("reads", [True, False])
def test_whoever_leaves_or_does_not_read_is_cancelled_in_the_engine(gateway, reads):
    body = json.dumps(BODY | {"max_tokens": LONG, "min_tokens": LONG, "stream": True}).encode()
    head = (
        f"POST /v2/models/ensemble/generate_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, _, port = gateway.http_address.rpartition(":")
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        one.connect((host, int(port)))
        one.sendall(head.encode() + body)
        if reads:
            assert one.recv(100)
            one.close()
        started_at = time.monotonic()
        until(lambda: gateway.queue()[1] == 1 or reads)
        until(lambda: gateway.queue() == (0, 0), wait_s=8)
        assert time.monotonic() - started_at < 8


def test_a_gateway_tells_old_connections_to_reconnect(direct_triton, tmp_path):
    settings = settings_for(direct_triton)
    settings["listen"]["connectionAgeSeconds"] = 0.2
    gateway = GatewayProcess(settings, tmp_path)
    try:
        gateway.wait_ready()
        with triton_http.InferenceServerClient(gateway.http_address) as client:
            for _ in range(20):  # a client that keeps its connection notices nothing
                assert client.is_server_live()
                time.sleep(0.02)
        connection = http.client.HTTPConnection(gateway.http_address)
        said = []
        while "close" not in said:
            connection.request("GET", "/v2/health/live")
            answer = connection.getresponse()
            answer.read()
            said.append(answer.headers.get("Connection"))
            time.sleep(0.01)
        assert said[0] is None
        connection.close()
    finally:
        gateway.close()
