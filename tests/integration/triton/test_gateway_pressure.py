"""More to do than the engine can, at a real Triton: who is refused, how it is told, who goes first."""

from __future__ import annotations

import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, settings_for, until
from profile_cases import CASES, a_request

from sagesched_emulator.triton_model.repository import Layout
from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.kserve import SERVICE, ModelInferRequest, ModelStreamInferResponse

TRUSTED = {"trustedNetworks": ["127.0.0.0/8"]}
ONE_SLOT = {"slots": 1, "lookahead": 0}
AS_STATUS = (("triton_grpc_error", "true"),)


@pytest.fixture
def start(direct_triton: TritonServer, tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []

    def start(**changes: object) -> GatewayProcess:
        settings = settings_for(direct_triton, engine=ONE_SLOT, attributes=TRUSTED, **changes)
        started.append(GatewayProcess(settings, tmp_path))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for gateway in started:
        gateway.close()


@pytest.fixture
def long_request(known) -> Callable[[int], ModelInferRequest]:
    """A stream of so many tokens, 5 ms each."""
    return lambda tokens: a_request(CASES["ensemble"], known.very_long.prompt, stream=True, max_tokens=tokens)


def refusal(
    address: str, message: ModelInferRequest, *metadata: tuple[str, str]
) -> tuple[str, dict[str, str]]:
    """Code and trailing metadata of a request that is refused."""
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelStreamInferResponse.FromString,
        )(iter([message]), metadata=(*AS_STATUS, *metadata), timeout=30.0)
        with pytest.raises(grpc.RpcError):
            list(call)
        return call.code().name, {key: str(value) for key, value in call.trailing_metadata() or ()}


def test_a_deadline_out_of_reach_is_refused_at_the_door_with_its_probability(start, known, long_request):
    gateway = start(deadlines={"refuseBelow": 0.9})
    running = Exchange(gateway.grpc_address, long_request(500))
    running.next()
    waiting = Exchange(gateway.grpc_address, long_request(500))
    until(lambda: gateway.queue() == (1, 1))
    asked_at = time.monotonic()
    code, told = refusal(gateway.grpc_address, long_request(500), ("x-sagesched-deadline", "1.5"))
    assert time.monotonic() - asked_at < 1.0
    assert (code, told["x-sagesched-error"]) == ("UNAVAILABLE", "deadline-unreachable")
    assert 0.0 <= float(told["x-sagesched-probability"]) < 0.9
    body = {"text_input": known.very_long.prompt, "max_tokens": 500, "stream": False}
    request = urllib.request.Request(
        f"http://{gateway.http_address}/v2/models/ensemble/generate",
        data=json.dumps(body).encode(),
        headers={"x-sagesched-deadline": "1.5"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30.0)
    assert caught.value.code == 503
    assert caught.value.headers["x-sagesched-error"] == "deadline-unreachable"
    assert float(caught.value.headers["x-sagesched-probability"]) < 0.9
    assert "with probability" in json.load(caught.value)["error"]
    # One that can wait is taken.
    patient = Exchange(gateway.grpc_address, long_request(10), metadata=(("x-sagesched-deadline", "3600"),))
    until(lambda: gateway.queue()[0] == 2)
    for exchange in (running, waiting, patient):
        exchange.cancel()


def test_a_call_that_cannot_be_in_time_any_more_is_given_up_while_it_waits(start, long_request):
    gateway = start(deadlines={"dropBelow": 1.0})
    running = Exchange(gateway.grpc_address, long_request(800))
    running.next()
    begun_at = time.monotonic()
    code, told = refusal(gateway.grpc_address, long_request(400), ("x-sagesched-deadline", "3"))
    assert (code, told["x-sagesched-error"]) == ("DEADLINE_EXCEEDED", "deadline-exceeded")
    assert time.monotonic() - begun_at < 2.5, "it was kept to the end"
    running.cancel()


def test_too_many_seconds_of_work_are_refused_and_told_when_to_come_back(start, long_request):
    gateway = start(limits={"queuedSeconds": 2})
    Exchange(gateway.grpc_address, long_request(200)).rest()  # it learns how fast the engine is
    open_now = [Exchange(gateway.grpc_address, long_request(1000))]
    open_now[0].next()
    while not gateway.status()["counters"].get("rejected"):
        assert len(open_now) < 40
        open_now.append(Exchange(gateway.grpc_address, long_request(300)))
        time.sleep(0.05)
    code, told = refusal(gateway.grpc_address, long_request(1900))
    assert (code, told["x-sagesched-error"]) == ("UNAVAILABLE", "overloaded")
    assert int(told["retry-after-ms"]) >= 500
    assert int(told["retry-after"]) >= 1
    in_band = [
        answer
        for answer in Exchange(gateway.grpc_address, long_request(1900)).rest()
        if isinstance(answer, ModelStreamInferResponse) and answer.error_message
    ]
    parameters = in_band[0].infer_response.parameters
    assert parameters["x-sagesched-error"].string_param == "overloaded"
    assert int(parameters["retry-after-ms"].string_param) >= 500
    queue = gateway.status()["queue"]
    assert 0.0 < queue["backlog_p50_s"] <= queue["backlog_p90_s"]
    assert 0.0 < queue["eta_p50_s"] <= queue["eta_p90_s"]
    for exchange in open_now:
        exchange.cancel()


def test_a_flood_of_one_tenant_does_not_hold_up_another(direct_triton, start, long_request):
    gateway = start(tenants={"enabled": True, "weights": {"b": 1}})
    num_before = len(direct_triton.report().requests)

    def send(tenant: str, tokens: int, priority: int = 0) -> Exchange:
        attributes = (("x-sagesched-tenant", tenant), ("x-sagesched-priority", str(priority)))
        return Exchange(gateway.grpc_address, long_request(tokens), metadata=attributes)

    open_now = [send("a", 300)]
    open_now[0].next()
    for number in range(1, 5):
        open_now.append(send("a", 10))
        until(lambda number=number: gateway.queue() == (number, 1))
    open_now.append(send("b", 20))
    until(lambda: gateway.queue() == (5, 1))
    open_now.append(send("c", 30, priority=1))
    until(lambda: gateway.queue() == (6, 1))
    tenants = {tenant["name"]: tenant for tenant in gateway.status()["tenants"]}
    assert (tenants["a"]["queued"], tenants["b"]["queued"], tenants["c"]["priority"]) == (4, 1, 1)
    for exchange in open_now:
        exchange.rest()
    until(lambda: len(direct_triton.report().requests) == num_before + 7)
    ended = sorted(direct_triton.report().requests[num_before:], key=lambda request: request.order)
    assert [request.output_tokens for request in ended] == [300, 30, 20, 10, 10, 10, 10]
    with urllib.request.urlopen(f"http://{gateway.metrics}/metrics", timeout=30.0) as answer:
        text = answer.read().decode()
    assert 'sagesched_gateway_tenant_backlog_seconds{tenant="b"}' in text
    assert 'tenant="a"' not in text, "callers must not choose the names of series"


def test_a_drain_tells_how_long_and_refuses_at_once_what_will_not_be_done(start, long_request):
    gateway = start(drain={"maxSeconds": 3})
    running = Exchange(gateway.grpc_address, long_request(300))
    running.next()
    soon = Exchange(gateway.grpc_address, long_request(4))
    until(lambda: gateway.queue() == (1, 1))
    never = [Exchange(gateway.grpc_address, long_request(1900)) for _ in range(3)]
    until(lambda: gateway.queue() == (4, 1))
    drain = gateway.status()["drain"]
    assert 0.0 < drain["in_flight_s"] < drain["all_s"]
    assert drain["max_s"] == 3.0
    begun_at = time.monotonic()
    gateway.signal(signal.SIGTERM)
    for exchange in never:
        (answer,) = exchange.rest()
        assert isinstance(answer, ModelStreamInferResponse)
        assert answer.infer_response.parameters["x-sagesched-error"].string_param == "draining"
    assert time.monotonic() - begun_at < 1.0, "they were kept waiting"
    assert len(soon.rest()) == 4
    assert len(running.rest()) > 200
    assert gateway.exit_code() == 0


@pytest.fixture(scope="module")
def small_queue_triton(answers_file: Path) -> Iterator[TritonServer]:
    """The engine runs 32 requests and queues two more."""
    layout = Layout(max_queue_size=2)
    with TritonServer("slot-bound", time_scale=0.5, answers=answers_file, layout=layout) as server:
        yield server


def test_the_engines_own_limit_is_a_net_beneath(small_queue_triton, known, tmp_path):
    """A gateway that believes in too many slots: what the engine refuses is sent once more, then told."""
    settings = settings_for(small_queue_triton, engine={"slots": 36, "lookahead": 0})
    gateway = GatewayProcess(settings, tmp_path)
    try:
        gateway.wait_ready()
        # Whole answers, so that it cannot see by their first tokens that the engine is full.
        message = a_request(CASES["ensemble"], known.very_long.prompt, stream=False, max_tokens=600)
        exchanges = [Exchange(gateway.grpc_address, message) for _ in range(36)]
        until(lambda: gateway.status()["counters"].get("failed") == 2)
        assert gateway.status()["counters"]["retried"] == 2
        answers = [answer for exchange in exchanges for answer in exchange.rest()]
        refused = [a for a in answers if isinstance(a, ModelStreamInferResponse) and a.error_message]
        assert len(refused) == 2
        for answer in refused:
            assert "Maximum queue size of 2 has been reached" in answer.error_message
            word = answer.infer_response.parameters["x-sagesched-error"].string_param
            assert word == "upstream-unavailable"
    finally:
        gateway.close()
