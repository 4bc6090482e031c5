"""What the gateway knows of a real engine's room: nothing waits inside, whatever the metrics say."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from capacity_cells import Cell
from capacity_live import LiveBench, LiveSeen
from gateway_process import Exchange, GatewayProcess, settings_for, until

from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import draw_trace
from sagesched_emulator.triton_server import TritonServer
from sagesched_emulator.workload import generate
from sagesched_gateway.kserve import ModelInferRequest, ModelStreamInferResponse

LONG = 2000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> LiveBench:
    """Short answers mostly, and more of them at a time than fit."""
    records = [r for r in generate(600, 3) if (r.output_tokens or max(r.output_samples or (0,))) < 250]
    engine = profile("kv-bound")
    trace = draw_trace(records, profile=engine, rho=4.0, num_requests=90, seed=3)
    return LiveBench(trace, tmp_path_factory.mktemp("capacity"), 0.75, True, arrivals_s=4.0)


@pytest.mark.parametrize(
    ("profile_name", "metrics"),
    [("ensemble", "stale"), ("engine", "low"), ("vllm", "nothing")],
)
def test_hardly_anybody_waits_inside(bench: LiveBench, profile_name: str, metrics: str) -> None:
    seen: LiveSeen = bench.run("grows", profile_name, Cell("grows", profile_name, metrics), "fcfs")
    assert not seen.failed
    # Far looser than bench/capacity.py: other tests share this machine, and nothing is learned yet.
    assert seen.waited < 0.15
    assert seen.batch > 10
    assert seen.stale == (metrics == "stale")


def free_ports() -> tuple[int, int, int]:
    sockets = [socket.socket() for _ in range(3)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = tuple(held.getsockname()[1] for held in sockets)
    for held in sockets:
        held.close()
    return ports  # type: ignore[return-value]


@pytest.fixture
def restartable(answers_file: Path) -> Iterator[Any]:
    """A Triton that can be killed and started again at the same addresses."""
    http, grpc, metrics = free_ports()
    servers: list[TritonServer] = []

    def start() -> TritonServer:
        server = TritonServer(
            "slot-bound",
            time_scale=0.25,
            answers=answers_file,
            http_port=http,
            grpc_port=grpc,
            metrics_port=metrics,
        )
        servers.append(server.__enter__())
        return servers[-1]

    yield SimpleNamespace(start=start)
    for server in servers:
        server.__exit__(None, None, None)


def a_request(prompt: str, *, id: str, stream: bool) -> ModelInferRequest:
    message = ModelInferRequest(model_name="ensemble", id=id)
    for name, kind, field, value in (
        ("text_input", "BYTES", "bytes_contents", prompt.encode()),
        ("max_tokens", "INT32", "int_contents", LONG),
        ("stream", "BOOL", "bool_contents", stream),
    ):
        tensor = message.inputs.add(name=name, datatype=kind, shape=[1, 1])
        getattr(tensor.contents, field).append(value)
    return message


def test_an_engine_that_comes_back_is_another_one(restartable, known, tmp_path):
    triton = restartable.start()
    gateway = GatewayProcess(settings_for(triton, engine={"lookahead": 0}), tmp_path)
    try:
        gateway.wait_ready()
        streamed = Exchange(gateway.grpc_address, a_request(known.very_long.prompt, id="s", stream=True))
        streamed.next()
        whole = Exchange(gateway.grpc_address, a_request(known.very_long.prompt, id="w", stream=False))
        until(lambda: gateway.queue() == (0, 2))
        os.kill(triton.pid, signal.SIGKILL)
        # It has shown tokens, which cannot be taken back.
        assert "cannot reach Triton" in str(streamed.rest()[-1])
        until(lambda: not gateway.is_ready)
        restartable.start()
        # It has shown none, so it runs again from the start, for the same caller.
        answers = whole.rest()
        assert isinstance(answers[0], ModelStreamInferResponse)
        assert not answers[0].error_message
        until(lambda: gateway.queue() == (0, 0))
        status = gateway.status()
        assert status["engine"]["kv_blocks_reserved"] == 0
        assert status["engine"]["slots"] == profile("slot-bound").max_batch_size
        assert status["counters"]["completed"] == 1
    finally:
        gateway.close()
