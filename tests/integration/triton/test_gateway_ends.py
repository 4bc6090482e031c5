"""Requests and gateways that end early: cancelled, late, drained, without Triton, without a predictor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, is_alive, server_is_ready, settings_for, until
from moving_service import Service

from sagesched_emulator.engine_report import EngineRequest
from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.kserve import SERVICE, ModelInferRequest, ModelStreamInferResponse
from sagesched_predictor.training.export import export_encoder

AS_STATUS = (("triton_grpc_error", "true"),)
LONG = 2000  # output tokens: ten seconds of this engine


@pytest.fixture
def start(direct_triton: TritonServer, tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []

    def start(triton: Any = direct_triton, **changes: Any) -> GatewayProcess:
        started.append(GatewayProcess(settings_for(triton, **changes), tmp_path))
        return started[-1]

    yield start
    for gateway in started:
        gateway.close()


def a_request(prompt: str, *, id: str = "mine", max_tokens: int = LONG) -> ModelInferRequest:
    message = ModelInferRequest(model_name="ensemble", id=id)
    for name, kind, field, value in (
        ("text_input", "BYTES", "bytes_contents", prompt.encode()),
        ("max_tokens", "INT32", "int_contents", max_tokens),
        ("stream", "BOOL", "bool_contents", True),
    ):
        tensor = message.inputs.add(name=name, datatype=kind, shape=[1, 1])
        getattr(tensor.contents, field).append(value)
    return message


def num_answers(channel: grpc.Channel, prompt: str, max_tokens: int) -> int:
    """To one request, on a connection that others use too."""
    method = channel.stream_stream(
        f"/{SERVICE}/ModelStreamInfer",
        request_serializer=ModelInferRequest.SerializeToString,
        response_deserializer=ModelStreamInferResponse.FromString,
    )
    return len(list(method(iter([a_request(prompt, max_tokens=max_tokens)]), timeout=60)))


def in_engine(triton: TritonServer, num_before: int) -> list[EngineRequest]:
    """What the engine has ended since there were so many."""
    return triton.report().requests[num_before:]


def test_a_caller_that_leaves_stops_its_request_in_the_engine(direct_triton, start, known):
    gateway = start(engine={"slots": 1, "lookahead": 0})
    gateway.wait_ready()
    num_before = len(direct_triton.report().requests)
    exchange = Exchange(gateway.grpc_address, a_request(known.very_long.prompt))
    for _ in range(3):
        exchange.next()
    left_at = time.monotonic()
    exchange.cancel()
    until(lambda: gateway.queue() == (0, 0))
    assert time.monotonic() - left_at < 3
    until(lambda: in_engine(direct_triton, num_before))
    (ended,) = in_engine(direct_triton, num_before)
    assert ended.stopped
    assert ended.output_tokens < LONG / 2
    assert gateway.status()["counters"]["cancelled"] == 1


def for_the_engine() -> ModelInferRequest:
    """A long request to `tensorrt_llm` itself."""
    message = ModelInferRequest(model_name="tensorrt_llm", id="mine")
    for name, values in (
        ("input_ids", range(300, 340)),
        ("input_lengths", [40]),
        ("request_output_len", [LONG]),
    ):
        tensor = message.inputs.add(name=name, datatype="INT32", shape=[1, len(values)])
        tensor.contents.int_contents.extend(values)
    message.inputs.add(name="streaming", datatype="BOOL", shape=[1, 1]).contents.bool_contents.append(True)
    return message


def test_a_caller_of_the_engine_model_that_leaves_stops_it(direct_triton, start):
    gateway = start(engine={"slots": 1, "lookahead": 0})
    gateway.wait_ready()
    num_before = len(direct_triton.report().requests)
    exchange = Exchange(gateway.grpc_address, for_the_engine())
    exchange.next()
    exchange.cancel()
    until(lambda: gateway.queue() == (0, 0))
    until(lambda: in_engine(direct_triton, num_before))
    assert in_engine(direct_triton, num_before)[0].stopped


def test_a_caller_that_leaves_the_queue_never_reaches_the_engine(direct_triton, start, known):
    gateway = start(engine={"slots": 1, "lookahead": 0})
    gateway.wait_ready()
    num_before = len(direct_triton.report().requests)
    running = Exchange(gateway.grpc_address, a_request(known.very_long.prompt, max_tokens=100))
    running.next()
    waiting = Exchange(gateway.grpc_address, a_request(known.very_long.prompt))
    until(lambda: gateway.queue() == (1, 1))
    waiting.cancel()
    until(lambda: gateway.queue() == (0, 1))
    assert len(running.rest()) == 99
    until(lambda: in_engine(direct_triton, num_before))
    assert [request.output_tokens for request in in_engine(direct_triton, num_before)] == [100]


def test_a_deadline_ends_the_request_in_the_engine_too(direct_triton, start, known):
    gateway = start(engine={"slots": 1, "lookahead": 0})
    gateway.wait_ready()
    num_before = len(direct_triton.report().requests)
    exchange = Exchange(gateway.grpc_address, a_request(known.very_long.prompt), timeout=1.0)
    *_, (code, _) = exchange.rest()
    assert code == "DEADLINE_EXCEEDED"
    until(lambda: in_engine(direct_triton, num_before))
    assert in_engine(direct_triton, num_before)[0].stopped
    until(lambda: gateway.queue() == (0, 0))


def a_stop(name: str) -> ModelInferRequest:
    """The order to stop the request of that id, as clients of TensorRT-LLM's backend send it."""
    stop = ModelInferRequest(model_name="tensorrt_llm", id=name)
    for tensor, value in (("input_ids", 0), ("input_lengths", 0), ("request_output_len", 0)):
        stop.inputs.add(name=tensor, datatype="INT32", shape=[1, 1]).contents.int_contents.append(value)
    stop.inputs.add(name="stop", datatype="BOOL", shape=[1, 1]).contents.bool_contents.append(True)
    return stop


def test_a_stop_request_of_a_caller_finds_its_request(direct_triton, start, known):
    gateway = start(engine={"slots": 1, "lookahead": 0})
    gateway.wait_ready()
    running = Exchange(gateway.grpc_address, a_request(known.very_long.prompt, id="a"))
    running.next()
    waiting = Exchange(gateway.grpc_address, a_request(known.very_long.prompt, id="b"), metadata=AS_STATUS)
    until(lambda: gateway.queue() == (1, 1))
    for name in ("b", "a"):
        Exchange(gateway.grpc_address, a_stop(name)).rest()
    assert len(running.rest()) < LONG / 2
    assert waiting.rest() == [("CANCELLED", "stopped by a request with the same id before it had started")]


def test_a_stopped_request_to_the_engine_model_ends_with_its_last_response(direct_triton, start):
    gateway = start()
    gateway.wait_ready()
    for address in (direct_triton.grpc_address, gateway.grpc_address):
        running = Exchange(address, for_the_engine())
        running.next()
        Exchange(address, a_stop("mine")).rest()
        *_, last = running.rest()
        assert isinstance(last, ModelStreamInferResponse)
        assert not last.error_message
        assert last.infer_response.parameters["triton_final_response"].bool_param


def test_draining_finishes_what_is_here_and_takes_nothing_new(start, known):
    gateway = start(engine={"slots": 1, "lookahead": 0})
    gateway.wait_ready()
    running = Exchange(gateway.grpc_address, a_request(known.very_long.prompt, max_tokens=300))
    running.next()
    waiting = Exchange(gateway.grpc_address, a_request(known.short.prompt))
    until(lambda: gateway.queue() == (1, 1))
    gateway.signal(signal.SIGTERM)
    until(lambda: not gateway.is_ready)
    assert not server_is_ready(gateway.grpc_address)
    new = Exchange(gateway.grpc_address, a_request(known.short.prompt), metadata=AS_STATUS)
    assert new.rest() == [("UNAVAILABLE", "the gateway is shutting down and takes no new requests")]
    assert len(running.rest()) == 299
    assert len(waiting.rest()) == known.short.output_tokens[0]
    assert gateway.exit_code() == 0


def test_a_pods_prestop_hook_takes_requests_for_a_while_then_finishes_and_says_so(
    direct_triton, known, tmp_path
):
    drained = tmp_path / "drained"
    drained.touch()  # of a gateway before
    settings = settings_for(direct_triton, engine={"slots": 1, "lookahead": 0})
    gateway = GatewayProcess(settings, tmp_path, "--drained-file", str(drained), "--settle-seconds", "1")
    try:
        assert not drained.exists()
        gateway.wait_ready()
        running = Exchange(gateway.grpc_address, a_request(known.very_long.prompt, max_tokens=900))
        running.next()
        command = ["drain", "--drained-file", str(drained), "--pid", str(gateway.pid), "--timeout", "60"]
        hook = subprocess.Popen([sys.executable, "-m", "sagesched_gateway.cli", *command])
        until(lambda: not gateway.is_ready)
        late = Exchange(gateway.grpc_address, a_request(known.short.prompt))
        until(lambda: gateway.status()["draining"])
        refused = Exchange(gateway.grpc_address, a_request(known.short.prompt), metadata=AS_STATUS)
        assert refused.rest()[-1][0] == "UNAVAILABLE"
        assert not drained.exists()
        assert len(running.rest()) == 899
        assert len(late.rest()) == known.short.output_tokens[0]
        assert hook.wait(30) == 0
        assert drained.exists()
        assert gateway.status()["queue"]["in_flight"] == 0  # it stays, for Triton to end first
        gateway.signal(signal.SIGTERM)
        assert gateway.exit_code() == 0
    finally:
        gateway.close()


def test_clients_of_a_pod_that_goes_leave_for_another_without_an_error(direct_triton, known, tmp_path):
    """As behind a Service: by the time the pod parts from its clients, new connections lead to another."""
    pods = []
    for name in ("old", "new"):
        folder = tmp_path / name
        folder.mkdir()
        settings = settings_for(direct_triton)
        settings["listen"]["connectionAgeSeconds"] = 2
        leaving = ("--settle-seconds", "1", "--parting-seconds", "20")
        pods.append(GatewayProcess(settings, folder, "--drained-file", str(folder / "drained"), *leaving))
    old, new = pods
    try:
        for pod in pods:
            pod.wait_ready()
        with Service(old.grpc_address) as service, grpc.insecure_channel(service.address) as channel:
            running = Exchange(service.address, a_request(known.very_long.prompt, max_tokens=600))
            running.next()
            assert num_answers(channel, known.very_long.prompt, 3) == 3
            old.signal(signal.SIGUSR1)
            until(lambda: not old.is_ready)
            service.target = new.grpc_address
            while not old.status()["draining"]:
                assert num_answers(channel, known.very_long.prompt, 3) == 3
            for _ in range(3):
                assert num_answers(channel, known.very_long.prompt, 3) == 3
            assert new.status()["counters"]["received"] >= 3
            assert len(running.rest()) == 599
    finally:
        for pod in pods:
            pod.close()


def test_a_drain_that_takes_too_long_ends_the_rest(direct_triton, start, known):
    gateway = start(drain={"maxSeconds": 0.2})
    gateway.wait_ready()
    num_before = len(direct_triton.report().requests)
    running = Exchange(gateway.grpc_address, a_request(known.very_long.prompt), metadata=AS_STATUS)
    running.next()
    gateway.signal(signal.SIGTERM)
    assert running.rest()[-1] == ("UNAVAILABLE", "the gateway shut down before the request was finished")
    assert gateway.exit_code() == 0
    until(lambda: in_engine(direct_triton, num_before))
    assert in_engine(direct_triton, num_before)[0].stopped


def test_a_drain_by_quantile_is_given_what_answers_are_seen_to_need(start, known):
    """This gateway knows short answers only; one that never ends does not hold it up for 300 s."""
    gateway = start(
        predictor={"mode": "HistoryOnly", "encoder": str(export_encoder())},
        drain={"maxSeconds": 300, "quantile": 0.9},
        engine={"slots": 1, "lookahead": 0},
    )
    gateway.wait_ready(predictor=True)
    for _ in range(20):
        Exchange(gateway.grpc_address, a_request(known.short.prompt)).rest()
    running = Exchange(gateway.grpc_address, a_request(known.very_long.prompt), metadata=AS_STATUS)
    running.next()
    drain = gateway.status()["drain"]
    assert (drain["max_s"], drain["budget_s"]) == (300.0, pytest.approx(5.0, abs=1.0))
    waiting = Exchange(gateway.grpc_address, a_request(known.very_long.prompt, id="w"), metadata=AS_STATUS)
    until(lambda: gateway.queue() == (1, 1))
    gateway.signal(signal.SIGTERM)
    told_at = time.monotonic()
    until(lambda: gateway.status()["drain"]["budget_s"] < 4)
    assert waiting.rest()[-1][0] == "UNAVAILABLE"
    assert time.monotonic() - told_at < 8
    assert running.rest()[-1] == ("UNAVAILABLE", "the gateway shut down before the request was finished")
    assert gateway.exit_code() == 0
    assert 3 < time.monotonic() - told_at < 15


def test_a_second_signal_ends_at_once(start, known):
    gateway = start()
    gateway.wait_ready()
    running = Exchange(gateway.grpc_address, a_request(known.very_long.prompt))
    running.next()
    gateway.signal(signal.SIGTERM)
    until(lambda: not gateway.is_ready)
    told_at = time.monotonic()
    gateway.signal(signal.SIGTERM)
    assert gateway.exit_code() == 1
    assert time.monotonic() - told_at < 5
    running.rest()


def test_without_triton_the_gateway_lives_and_says_what_is_wrong(start, known):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
        away = SimpleNamespace(grpc_address=nowhere, http_address=nowhere, metrics_address=nowhere)
        gateway = start(away)
        assert not gateway.is_ready
        assert not server_is_ready(gateway.grpc_address)
        assert f"cannot reach Triton at {nowhere}" in gateway.status()["reason"]
        request = a_request(known.short.prompt)
        ((code, details),) = Exchange(gateway.grpc_address, request, metadata=AS_STATUS).rest()
        assert code == "UNAVAILABLE"
        assert f"cannot reach Triton at {nowhere}" in details
        (answer,) = Exchange(gateway.grpc_address, request).rest()
        assert f"cannot reach Triton at {nowhere}" in answer.error_message


def test_requests_are_answered_while_the_predictor_is_killed_again_and_again(start, known):
    gateway = start(predictor={"mode": "HistoryOnly", "encoder": str(export_encoder())})
    gateway.wait_ready(predictor=True)
    for _ in range(2):
        (predictor,) = gateway.children()
        os.kill(predictor, signal.SIGKILL)
        answers = Exchange(gateway.grpc_address, a_request(known.short.prompt)).rest()
        assert len(answers) == known.short.output_tokens[0]
        until(lambda killed=predictor: not is_alive(killed) and gateway.children())
    gateway.wait_ready(predictor=True)
    assert gateway.status()["predictor"]["restarts"] == 2


def test_requests_are_answered_while_the_predictor_hangs(start, known):
    gateway = start(
        predictor={"mode": "HistoryOnly", "encoder": str(export_encoder()), "timeoutSeconds": 0.2}
    )
    gateway.wait_ready(predictor=True)
    (predictor,) = gateway.children()
    os.kill(predictor, signal.SIGSTOP)
    answers = Exchange(gateway.grpc_address, a_request(known.short.prompt)).rest()
    assert len(answers) == known.short.output_tokens[0]
    until(lambda: gateway.status()["predictor"]["restarts"] == 1)
    assert gateway.status()["counters"]["prediction_failures"] == 1
    assert not is_alive(predictor)
