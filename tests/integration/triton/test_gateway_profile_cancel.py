"""A caller that leaves really stops its request in the engine; where nothing can, its place stays taken."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, settings_for, until
from profile_cases import CASES, PLAIN, a_request

from sagesched_emulator.engine_report import EngineRequest
from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.kserve import ModelInferRequest

LONG = 1500  # output tokens: seven seconds of this engine
AS_STATUS = (("triton_grpc_error", "true"),)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []

    def start(triton: TritonServer, **changes: object) -> GatewayProcess:
        started.append(GatewayProcess(settings_for(triton, **changes), tmp_path))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for gateway in started:
        gateway.close()


def in_engine(triton: TritonServer, num_before: int) -> list[EngineRequest]:
    """What the engine has ended since there were so many."""
    return triton.report().requests[num_before:]


def long_request(kind: str, known, *, stream: bool = True, max_tokens: int = LONG) -> ModelInferRequest:
    return a_request(CASES[kind], known.very_long.prompt, stream=stream, max_tokens=max_tokens)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("kind", ["llmapi", "vllm"])
def test_leaving_stops_the_request_in_the_engine(kind, stream, request, start, known):
    triton = request.getfixturevalue(CASES[kind].server)
    gateway = start(triton, engine={"slots": 1, "lookahead": 0})
    num_before = len(in_engine(triton, 0))
    exchange = Exchange(gateway.grpc_address, long_request(kind, known, stream=stream))
    if stream:
        exchange.next()
    else:
        until(lambda: gateway.queue() == (0, 1))
        time.sleep(0.3)  # and in the engine
    exchange.cancel()
    until(lambda: gateway.queue() == (0, 0), 5.0)
    until(lambda: in_engine(triton, num_before))
    (ended,) = in_engine(triton, num_before)
    assert ended.stopped
    assert ended.output_tokens < LONG / 2


def test_a_bls_request_keeps_its_place_until_its_own_end(bls_triton, start, known):
    gateway = start(bls_triton, engine={"slots": 1, "lookahead": 0})
    num_before = len(in_engine(bls_triton, 0))
    exchange = Exchange(gateway.grpc_address, long_request("bls", known, max_tokens=400))
    exchange.next()
    exchange.cancel()
    waiting = Exchange(gateway.grpc_address, a_request(CASES["bls"], PLAIN, stream=True, max_tokens=3))
    until(lambda: gateway.queue() == (1, 1))
    answers = waiting.rest()
    assert len(answers) == 3
    until(lambda: len(in_engine(bls_triton, num_before)) == 2)
    abandoned, next_one = in_engine(bls_triton, num_before)
    assert not abandoned.stopped
    assert abandoned.output_tokens == 400
    assert next_one.submitted_at >= abandoned.finished_at
    assert gateway.status()["counters"]["cancelled"] == 1


def test_bls_has_as_many_places_as_instances(bls_triton, start, known):
    gateway = start(bls_triton, profiles={"ensemble": "none"})
    running = [Exchange(gateway.grpc_address, long_request("bls", known, max_tokens=200)) for _ in range(3)]
    until(lambda: gateway.queue() == (1, 2))
    for exchange in running:
        assert len(exchange.rest()) == 200


def test_a_path_on_the_server_is_not_passed_on(llmapi_triton, start):
    gateway = start(llmapi_triton)
    message = a_request(CASES["llmapi"], PLAIN, stream=True)
    message.inputs.add(name="lora_path", datatype="BYTES", shape=[1])
    message.raw_input_contents.append(b"\x04\0\0\0/etc")
    ((code, details),) = Exchange(gateway.grpc_address, message, metadata=AS_STATUS).rest()
    assert code == "PERMISSION_DENIED"
    assert "lora_path" in details


def test_a_model_without_a_profile_passes_through(vllm_triton, start):
    gateway = start(vllm_triton, profiles={"vllm_model": "none"})
    answers = Exchange(gateway.grpc_address, a_request(CASES["vllm"], PLAIN, stream=True)).rest()
    assert answers == Exchange(vllm_triton.grpc_address, a_request(CASES["vllm"], PLAIN, stream=True)).rest()
    assert gateway.status()["counters"].get("received", 0) == 0
