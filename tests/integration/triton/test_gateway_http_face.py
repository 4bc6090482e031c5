"""The HTTP face of a real gateway process before a real Triton: equal to Triton but for known differences."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import tritonclient.http as triton_http
from prometheus_client.parser import text_string_to_metric_families

from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.status import GatewayStatus, parse_status

WAIT_S = 20.0
LONG = 1500  # output tokens: some 15 s of the emulated engine, unless it is cancelled


@pytest.fixture(scope="module")
def triton() -> Iterator[TritonServer]:
    with TritonServer(profile="kv-bound") as server:
        yield server


class Gateway:
    """A gateway process with one engine slot, so that a second request waits."""

    def __init__(self, triton: TritonServer, folder: Path) -> None:
        settings = {
            "listen": dict.fromkeys(("grpc", "http", "metrics"), "127.0.0.1:0"),
            "triton": {
                "grpc": triton.grpc_address,
                "http": triton.http_address,
                "metrics": triton.metrics_address,
            },
            "scheduling": {"policy": "fcfs"},
            "engine": {"slots": 1, "lookahead": 0},
            "predictor": {"mode": "None"},
        }
        path = folder / "gateway.yaml"
        path.write_text(json.dumps(settings))
        self._log = (folder / "gateway.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sagesched_gateway.cli", "serve", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self.process.stdout is not None
        addresses = json.loads(self.process.stdout.readline())
        self.http, self.metrics = f"http://{addresses['http']}", f"http://{addresses['metrics']}"

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(WAIT_S)
        finally:
            self.process.kill()
            self.process.communicate()
            self._log.close()


@pytest.fixture(scope="module")
def gateway(triton: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(triton, tmp_path_factory.mktemp("gateway"))
    yield gateway
    gateway.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    end_at = time.monotonic() + WAIT_S
    while not await condition():
        assert time.monotonic() < end_at, "what the test waits for did not come"
        await asyncio.sleep(0.02)


async def status_of(session: aiohttp.ClientSession, gateway: Gateway) -> GatewayStatus:
    async with session.get(f"{gateway.metrics}/status") as answer:
        return parse_status(await answer.json())


async def series_of(session: aiohttp.ClientSession, gateway: Gateway) -> dict[tuple[str, str], float]:
    """(name, value of the first interesting label) -> value; the parser refuses a malformed text."""
    async with session.get(f"{gateway.metrics}/metrics") as answer:
        text = await answer.text()
    kinds = ("request_type", "outcome")
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    return {
        (
            sample.name,
            next((sample.labels[kind] for kind in kinds if kind in sample.labels), ""),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def a_body(prompt: str = "Name a river.", tokens: int = 5, **more: object) -> dict[str, object]:
    """`min_tokens` makes the emulated answer exactly so long."""
    return {"text_input": prompt, "max_tokens": tokens, "min_tokens": tokens} | more


async def ask(
    session: aiohttp.ClientSession, base: str, path: str, body: object
) -> tuple[int, str, list[object]]:
    """Status, content type and the JSON objects of an answer, one or a stream of them."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with session.post(f"{base}/v2/models/{path}", data=raw) as answer:
        text = await answer.text()
        if answer.content_type == "text/event-stream":
            events = text.split("\n\n")
            assert events.pop() == ""
            assert all(event.startswith("data: ") for event in events)
            objects = [json.loads(event.removeprefix("data: ")) for event in events]
        else:
            objects = [json.loads(text)]
        return answer.status, answer.headers["Content-Type"], objects


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("ensemble/generate", a_body()),
        ("ensemble/generate", a_body(id="mine", temperature=1, stop_words=["a", "b"], custom="x")),
        ("ensemble/generate", a_body(return_num_output_tokens=True, return_num_input_tokens=True)),
        ("ensemble/generate", {"text_input": ["Hé ☃"], "parameters": {"max_tokens": [3], "min_tokens": 3}}),
        ("ensemble/versions/1/generate", a_body(exclude_input_in_output=True)),
        ("ensemble/generate_stream", a_body(stream=True)),
        ("ensemble/generate_stream", a_body(stream=True, id="mine", return_num_output_tokens=True)),
        ("ensemble/generate_stream", a_body()),
        ("tensorrt_llm/generate", {"input_ids": [5, 6, 7], "input_lengths": 3, "request_output_len": 4}),
        (
            "tensorrt_llm/generate_stream",
            {"input_ids": [5, 6, 7], "input_lengths": 3, "request_output_len": 4, "streaming": True},
        ),
        ("nothing/generate", a_body()),
        ("ensemble/generate", a_body(custom=[1])),
        ("ensemble/generate_stream", a_body(lora_weights=[1.0])),
    ],
)
async def test_answers_equal_tritons(session, gateway, triton, path, body):
    through = await ask(session, gateway.http, path, body)
    direct = await ask(session, f"http://{triton.http_address}", path, body)
    if through[0] == 400:  # our texts say more, and begin as Triton's do
        assert direct[0] == 400
        assert through[2][0]["error"].startswith(direct[2][0]["error"].rstrip(".")[:60])
    else:
        assert through == direct


@pytest.mark.parametrize(
    ("path", "body", "through", "direct"),
    [
        ("ensemble/generate", b"nope", 400, 500),
        ("ensemble/generate", a_body(max_tokens="5"), 400, 500),
        ("ensemble/generate", a_body(stream=True), 400, 200),
        ("ensemble/generate", {"text_input": "no cap"}, 400, 400),
        ("ensemble/generate_stream", {"text_input": "no cap"}, 400, 400),
        ("ensemble/versions/9/generate", a_body(), 404, 404),
    ],
)
async def test_errors_have_a_proper_status(session, gateway, triton, path, body, through, direct):
    status, content_type, (answer,) = await ask(session, gateway.http, path, body)
    assert (status, content_type) == (through, "application/json")
    assert answer.keys() == {"error"}
    assert (await ask(session, f"http://{triton.http_address}", path, body))[0] == direct


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/models/ensemble",
        "/v2/models/ensemble/config",
        "/v2/models/ensemble/ready",
        "/v2/models/nothing/ready",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/nothing",
    ],
)
async def test_the_rest_of_the_face_is_tritons(session, gateway, triton, path):
    async with (
        session.get(gateway.http + path) as through,
        session.get(f"http://{triton.http_address}{path}") as direct,
    ):
        assert through.status == direct.status
        assert await through.read() == await direct.read()


async def test_infer_passes(session, gateway, triton):
    body = {
        "inputs": [
            {"name": "QUERY", "datatype": "BYTES", "shape": [1, 1], "data": ["Name a river."]},
            {"name": "REQUEST_OUTPUT_LEN", "datatype": "INT32", "shape": [1, 1], "data": [5]},
        ]
    }
    through = await ask(session, gateway.http, "preprocessing/infer", body)
    assert through[0] == 200
    assert through == await ask(session, f"http://{triton.http_address}", "preprocessing/infer", body)


def test_tritonclient_works_unchanged(gateway, triton):
    results = []
    for address in (gateway.http.removeprefix("http://"), triton.http_address):
        with triton_http.InferenceServerClient(address) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("ensemble")
            query = triton_http.InferInput("QUERY", [1, 1], "BYTES")
            query.set_data_from_numpy(np.array([["Name a river."]], dtype=object), binary_data=True)
            length = triton_http.InferInput("REQUEST_OUTPUT_LEN", [1, 1], "INT32")
            length.set_data_from_numpy(np.array([[5]], dtype=np.int32), binary_data=False)
            answer = client.infer(
                "preprocessing",
                [query, length],
                request_id="mine",
                request_compression_algorithm="gzip",
                response_compression_algorithm="deflate",
            )
            results.append((answer.get_response(), answer.as_numpy("INPUT_ID").tolist()))
            results[-1] += (client.get_model_metadata("ensemble"), client.get_model_config("ensemble"))
    assert results[0] == results[1]


async def test_a_caller_who_leaves_mid_stream_frees_the_engine(session, gateway):
    body = a_body("Leave me.", LONG, stream=True)
    async with session.post(f"{gateway.http}/v2/models/ensemble/generate_stream", json=body) as answer:
        assert float(answer.headers["x-sagesched-queue-time"]) < 1.0
        assert (await answer.content.readline()).startswith(b"data: ")
        answer.close()

    async def is_free() -> bool:
        # The place is given back by the engine's own final response, nothing else.
        return (await status_of(session, gateway)).queue.in_flight == 0

    started_at = time.monotonic()
    await until(is_free)
    assert time.monotonic() - started_at < 5.0
    # The next request has the engine to itself.
    status, _, _ = await ask(session, gateway.http, "ensemble/generate", a_body())
    assert status == 200


async def test_a_waiting_request_is_seen_and_can_leave(session, gateway):
    before = await series_of(session, gateway)
    url = f"{gateway.http}/v2/models/ensemble"
    async with session.post(f"{url}/generate_stream", json=a_body("Busy.", LONG, stream=True)) as busy:
        await busy.content.readline()
        waiting = asyncio.create_task(session.post(f"{url}/generate", json=a_body()))

        async def waits() -> bool:
            return (await status_of(session, gateway)).queue.queued == 1

        await until(waits)
        seen = await series_of(session, gateway)
        assert seen["sagesched_gateway_queued_requests", ""] == 1
        assert seen["sagesched_gateway_in_flight_requests", ""] == 1
        assert seen["nv_trt_llm_request_metrics", "waiting"] >= 1
        assert seen["sagesched_gateway_triton_metrics_up", ""] == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        async def left() -> bool:
            return (await status_of(session, gateway)).queue.queued == 0

        await until(left)
        busy.close()

    async def both_counted() -> bool:
        name = ("sagesched_gateway_requests_finished_total", "cancelled")
        return (await series_of(session, gateway))[name] == before.get(name, 0.0) + 2

    await until(both_counted)


async def test_a_request_that_waited_tells_how_long(session, gateway):
    url = f"{gateway.http}/v2/models/ensemble"
    async with session.post(f"{url}/generate_stream", json=a_body("Busy.", 60, stream=True)) as busy:
        await busy.content.readline()
        async with session.post(f"{url}/generate", json=a_body()) as answer:
            assert answer.status == 200
            assert 0.05 < float(answer.headers["x-sagesched-queue-time"]) < WAIT_S
        await busy.read()


async def test_sigterm_finishes_streams_and_refuses_the_rest(session, triton, tmp_path):
    gateway = Gateway(triton, tmp_path)
    try:
        url = f"{gateway.http}/v2/models/ensemble"
        async with session.post(f"{url}/generate_stream", json=a_body("Last.", 150, stream=True)) as last:
            await last.content.readline()
            gateway.process.send_signal(signal.SIGTERM)

            async def is_draining() -> bool:
                async with session.get(f"{gateway.http}/v2/health/ready") as answer:
                    return answer.status == 503

            await until(is_draining)
            async with session.post(f"{url}/generate", json=a_body()) as refused:
                assert refused.status == 503
                assert refused.headers["x-sagesched-error"] == "draining"
            assert (await last.read()).count(b"data: ") == 149
        assert await asyncio.to_thread(gateway.process.wait, WAIT_S) == 0
    finally:
        gateway.close()
