"""`amin` in front of a real Triton: requests are really stopped, begun anew, and nobody notices.

The gateway is told of a far smaller KV pool than the engine has, so that it must take requests back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient import grpc as triton_grpc

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Answer, Exchange, GatewayProcess, settings_for, until
from profile_cases import CASES, a_request, true_text

from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.kserve import ModelStreamInferResponse

# Half a second to one of this engine; together 920 tokens, of which the pool is said to hold 320.
LENGTHS = (120, 140, 160, 180, 200, 120)
SMALL_POOL = {
    "slots": 4,
    "lookahead": 0,
    "kvBlocks": 40,
    "blockTokens": 8,
    "kvHeadroomIterations": 0,
}
GROWING = SMALL_POOL | {"kvPolicy": "MaxUtilization"}
AMIN = {"policy": "amin"}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []

    def start(triton: TritonServer, **changes: object) -> GatewayProcess:
        started.append(GatewayProcess(settings_for(triton, scheduling=AMIN, **changes), tmp_path))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for gateway in started:
        gateway.close()


def teach_speed(gateway: GatewayProcess, kind: str, prompt: str) -> None:
    """Whole answers are counted by how fast the engine is, which a stream tells."""
    Exchange(gateway.grpc_address, a_request(CASES[kind], prompt, stream=True, max_tokens=200)).rest()


def text_of(answers: list[Answer], prompt: str) -> str:
    """All text of a request's responses, the prompt before it left out."""
    pieces = []
    for answer in answers:
        assert isinstance(answer, ModelStreamInferResponse), answer
        assert not answer.error_message
        values = triton_grpc.InferResult(answer.infer_response).as_numpy("text_output")
        if values is not None:
            assert isinstance(values, np.ndarray)
            pieces.append(values.item().decode())
    return "".join(pieces).removeprefix(prompt)


@pytest.mark.parametrize("kind", ["ensemble", "llmapi", "vllm"])
def test_whole_answers_are_taken_back_and_each_comes_once_and_as_it_should(kind, request, start, known):
    triton = request.getfixturevalue(CASES[kind].server)
    prompt = known.very_long.prompt
    gateway = start(triton, engine=GROWING)
    teach_speed(gateway, kind, prompt)
    exchanges = [
        Exchange(gateway.grpc_address, a_request(CASES[kind], prompt, stream=False, max_tokens=tokens))
        for tokens in LENGTHS
    ]
    for exchange, tokens in zip(exchanges, LENGTHS, strict=True):
        assert text_of(exchange.rest(), prompt) == true_text(prompt, tokens)
    status = gateway.status()
    assert status["queue"]["evictions"] > 0
    assert status["queue"]["discarded_tokens"] > 0
    assert status["counters"]["completed"] == len(LENGTHS) + 1
    assert gateway.queue() == (0, 0)
    stopped = [ended for ended in triton.report().requests[-30:] if ended.stopped]
    assert stopped, "the engine went on with what was taken back"


def test_streams_that_have_begun_are_never_taken_back(direct_triton, start, known):
    prompt = known.very_long.prompt
    gateway = start(direct_triton, engine=GROWING)
    teach_speed(gateway, "ensemble", prompt)
    exchanges = [
        Exchange(gateway.grpc_address, a_request(CASES["ensemble"], prompt, stream=stream, max_tokens=tokens))
        for stream, tokens in zip((True, False) * 3, LENGTHS, strict=True)
    ]
    for exchange, tokens in zip(exchanges, LENGTHS, strict=True):
        assert text_of(exchange.rest(), prompt) == true_text(prompt, tokens)
    assert gateway.status()["counters"]["completed"] == len(LENGTHS) + 1


def test_what_nothing_can_stop_is_never_taken_back(bls_triton, start, known):
    prompt = known.very_long.prompt
    gateway = start(bls_triton, engine=GROWING | {"kvBlocks": 28}, profiles={"ensemble": "none"})
    exchanges = [
        Exchange(gateway.grpc_address, a_request(CASES["bls"], prompt, stream=False, max_tokens=tokens))
        for tokens in LENGTHS[:2]
    ]
    for exchange, tokens in zip(exchanges, LENGTHS, strict=False):
        assert text_of(exchange.rest(), prompt) == true_text(prompt, tokens)
    assert gateway.status()["queue"]["evictions"] == 0


def test_where_the_engine_reserves_ahead_the_status_says_that_amin_cannot_work(direct_triton, start):
    gateway = start(direct_triton, engine=SMALL_POOL | {"kvPolicy": "GuaranteedNoEvict"})
    until(lambda: gateway.status()["policy_note"])
    assert "reserves KV for max_tokens ahead" in gateway.status()["policy_note"]
