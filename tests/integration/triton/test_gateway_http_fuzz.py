"""Whatever is sent to the HTTP port: a defined answer, a gateway that lives, and nothing left behind.

Bounded: a few hundred requests in all, each of which the engine is done with at once.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import GatewayProcess, settings_for, until
from http_fuzz import STATUSES, WAIT_S, a_few, infer_bodies, post, short, values

from sagesched_emulator.triton_server import TritonServer

TENSORS = ("text_input", "max_tokens", "stop_words", "stream", "temperature", "seed", "id", "parameters", "x")


@pytest.fixture(scope="module")
def gateway(
    direct_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """Ended only after it was found whole: alive, nothing queued or running, no traceback in its log."""
    folder = tmp_path_factory.mktemp("gateway")
    process = GatewayProcess(
        settings_for(
            direct_triton,
            limits={"messageBytes": 50_000, "headerBytes": 4096, "jsonDepth": 8},
            attributes={"trustedNetworks": ["127.0.0.0/8"]},
        ),
        folder,
    )
    try:
        process.wait_ready()
        yield process
        until(lambda: process.queue() == (0, 0), WAIT_S)
        assert process.is_ready
        assert "Traceback" not in (folder / "gateway.log").read_text()
    finally:
        process.close()


generate_bodies = st.dictionaries(
    st.sampled_from(TENSORS) | st.text(max_size=8), short, max_size=5
) | st.fixed_dictionaries(
    {"text_input": st.just("hi"), "max_tokens": st.just(2)}, optional=dict.fromkeys(TENSORS[2:], short)
)
paths = st.sampled_from(
    [
        f"/v2/models/{model}/{verb}"
        for model in ("ensemble", "tensorrt_llm", "preprocessing", "nothing", "ensemble/versions/1")
        for verb in ("generate", "generate_stream", "infer")
    ]
    + ["/v1/completions", "/v1/models", "/v2", "/elsewhere"]
)


@a_few
@given(path=paths, body=generate_bodies)
def test_fuzz_json_of_the_right_kind(gateway, path, body):
    post(gateway.http_address, path, json.dumps(body).encode())


@a_few
@given(
    path=paths,
    head=infer_bodies("QUERY", "text_input", "max_tokens"),
    tail=st.binary(max_size=20),
    told=st.integers(-1, 200) | st.none(),
)
def test_fuzz_binary_tensors(gateway, path, head, tail, told):
    text = json.dumps(head).encode()
    post(
        gateway.http_address,
        path,
        text + tail,
        {"Inference-Header-Content-Length": str(len(text) if told is None else told)},
    )


MEMBERS = (
    "stream",
    "stop",
    "n",
    "temperature",
    "seed",
    "stream_options",
    "response_format",
    "logprobs",
    "user",
)
openai_bodies = st.fixed_dictionaries(
    {"max_tokens": st.just(2) | short},
    optional={
        "model": st.just("ensemble") | values,
        "prompt": st.just("hi") | values,
        "messages": st.lists(
            st.dictionaries(st.sampled_from(["role", "content", "name"]), st.just("user") | values),
            max_size=3,
        )
        | values,
        **dict.fromkeys(MEMBERS, short),
    },
)


@a_few
@given(verb=st.sampled_from(["completions", "chat/completions"]), body=openai_bodies)
def test_fuzz_openai(gateway, verb, body):
    post(gateway.http_address, f"/v1/{verb}", json.dumps(body).encode())


@a_few
@given(
    path=paths,
    body=st.binary(max_size=60),
    headers=st.dictionaries(
        st.sampled_from(
            [
                "Content-Encoding",
                "Accept-Encoding",
                "Content-Type",
                "Expect",
                "Connection",
                "x-sagesched-tenant",
                "x-sagesched-priority",
                "x-sagesched-deadline",
                "x-sagesched-report",
                "traceparent",
                "X-Any",
            ]
        ),
        st.sampled_from(["gzip", "deflate", "br", "100-continue", "close", "1", "true", "0.5"])
        | st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20),
        max_size=4,
    ),
)
def test_fuzz_bodies_and_headers(gateway, path, body, headers):
    post(gateway.http_address, path, body, headers)


GENERATE = (
    b"POST /v2/models/ensemble/generate_stream HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2b\r\n"
    b'{"text_input":"hi","max_tokens":3,"id":"ab"}\r\n0\r\n\r\n'
)
INFER = b'POST /v2/models/preprocessing/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"inputs":[]}'
GET = b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n"


@a_few
@given(
    text=st.sampled_from([GENERATE, INFER, GET, GET + GENERATE]),
    cuts=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 8), st.binary(max_size=4)), max_size=2),
    keep=st.integers(0, 300),
    listens=st.booleans(),
)
def test_fuzz_sockets(gateway, text, cuts, keep, listens):
    """Requests with bytes lost, replaced and added, cut off anywhere; the caller listens or not."""
    for place, length, instead in cuts:
        text = text[:place] + instead + text[place + length :]
    host, _, port = gateway.http_address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as one:
        one.sendall(text[:keep])
        one.shutdown(socket.SHUT_WR)
        if not listens:
            return
        answer = b"".join(iter(lambda: one.recv(65536), b""))
    if answer:
        assert answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), answer
        assert int(answer.split()[1]) in STATUSES | {100, 200, 417, 500}, answer


@a_few
@given(pieces=st.integers(0, 6), resets=st.booleans(), tokens=st.integers(1, 400))
def test_fuzz_leaving_a_stream(gateway, pieces, resets, tokens):
    """Whenever the caller leaves, by a reset or by a close."""
    body = json.dumps(
        {"text_input": "hi", "max_tokens": tokens, "min_tokens": tokens, "stream": True}
    ).encode()
    host, _, port = gateway.http_address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as one:
        if resets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.sendall(
            b"POST /v2/models/ensemble/generate_stream HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        for _ in range(pieces):
            if one.recv(300).endswith(b"0\r\n\r\n"):
                break
