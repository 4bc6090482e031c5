"""Under saturation the gateway's order is the engine's, and the engine has no queue of its own."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, settings_for, until

from sagesched_emulator.engine_report import EngineRequest
from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_predictor.cli import main as predictor_command
from sagesched_predictor.training.export import export_encoder

LONG_TOKENS = 120
BLOCKING_TOKENS = 600  # three seconds of this engine: time enough to queue up behind it


@pytest.fixture(scope="module")
def history(known, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What past traffic looked like: each prompt seen often enough to be believed."""
    folder = tmp_path_factory.mktemp("history")
    past = {known.short.prompt: known.short.output_tokens[0], known.very_long.prompt: LONG_TOKENS}
    lines = [
        json.dumps({"prompt": prompt, "output_samples": [tokens] * 10, "model": "ensemble"})
        for prompt, tokens in past.items()
    ]
    (folder / "past.jsonl").write_text("\n".join(lines))
    path = folder / "history.npz"
    assert predictor_command(["warm", "--data", str(folder / "past.jsonl"), "--out", str(path)]) == 0
    return path


def a_request(prompt: str, max_tokens: int) -> ModelInferRequest:
    message = ModelInferRequest(model_name="ensemble", id="mine")
    text = prompt.encode()
    for name, kind, value in (
        ("text_input", "BYTES", struct.pack("<I", len(text)) + text),
        ("max_tokens", "INT32", struct.pack("<i", max_tokens)),
        ("stream", "BOOL", b"\x01"),
    ):
        message.inputs.add(name=name, datatype=kind, shape=[1, 1])
        message.raw_input_contents.append(value)
    return message


def number_of(request: EngineRequest) -> int:
    """The gateway's ids count arrivals, after what it draws anew at each start."""
    return int(request.id.rpartition("-")[2])


def prefix_of(request: EngineRequest) -> str:
    return request.id.rpartition("-")[0]


def of_gateway(triton: TritonServer, others: set[str]) -> list[EngineRequest]:
    """What the engine has ended of the gateway that is not among the others, in the order it got it."""
    requests = [request for request in triton.report().requests if prefix_of(request) not in others]
    return sorted(requests, key=lambda request: request.order)


@pytest.mark.parametrize(
    ("policy", "is_sorted"), [("ssjf", True), ("sagesched", True), ("gittins-boost", True), ("fcfs", False)]
)
def test_short_answers_go_first_where_the_policy_says_so(
    direct_triton, known, history, tmp_path, policy, is_sorted
):
    settings = settings_for(
        direct_triton,
        scheduling={"policy": policy},
        engine={"slots": 1, "lookahead": 0},
        predictor={
            "mode": "HistoryOnly",
            "encoder": str(export_encoder()),
            "history": {"file": str(history)},
        },
    )
    long = a_request(known.very_long.prompt, LONG_TOKENS)
    short = a_request(known.short.prompt, LONG_TOKENS)
    gateway = GatewayProcess(settings, tmp_path)
    try:
        gateway.wait_ready(predictor=True)
        others = {prefix_of(request) for request in direct_triton.report().requests}
        open_now = [Exchange(gateway.grpc_address, a_request(known.very_long.prompt, BLOCKING_TOKENS))]
        open_now[0].next()
        arrivals = [long, long, short, long, short]
        for number, message in enumerate(arrivals, start=1):
            open_now.append(Exchange(gateway.grpc_address, message))
            until(lambda number=number: gateway.queue() == (number, 1))
        until(lambda: gateway.status()["counters"]["predictions"] == len(open_now))
        assert gateway.queue()[0] == len(arrivals), "the engine was too quick for this test"
        for exchange in open_now:
            exchange.rest()
        until(lambda: len(of_gateway(direct_triton, others)) == len(open_now))
    finally:
        gateway.close()
    requests = of_gateway(direct_triton, others)
    assert [number_of(request) for request in requests] == (
        [1, 4, 6, 2, 3, 5] if is_sorted else [*range(1, 7)]
    )
    assert all(request.queue_iterations <= 2 for request in requests), "the engine had a queue of its own"
