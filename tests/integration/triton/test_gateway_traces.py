"""Traces of a real gateway before a real Triton, as a collector gets them."""

from __future__ import annotations

import json
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit/sagesched_gateway/tracing"))

from gateway_process import WAIT_S, Exchange, GatewayProcess, settings_for, until
from trace_receiver import Received, TraceReceiver

from sagesched_emulator.config_mount import ConfigMount
from sagesched_emulator.load import LoadRequest, generate_message
from sagesched_gateway.kserve import ModelInferRequest

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
OTHER = ("traceparent", f"00-{TRACE[::-1]}-{SPAN}-01")
PARENT = ("traceparent", f"00-{TRACE}-{SPAN}-01")


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    receiver = TraceReceiver()
    yield receiver
    receiver.close()


def roots(receiver: TraceReceiver) -> list[Received]:
    return [span for span in receiver.spans if span.kind == "SERVER"]


def ours(receiver: TraceReceiver) -> list[Received]:
    return [span for span in receiver.spans if span.trace_id == TRACE]


def is_traced(receiver: TraceReceiver, gateway: GatewayProcess, message: ModelInferRequest) -> bool:
    """Whether it is on by now: a request of another trace is sent, and seen some seconds later."""
    Exchange(gateway.grpc_address, message, metadata=(OTHER,)).rest()
    return bool(roots(receiver))


def test_requests_of_both_faces_are_traced_once_that_is_turned_on(direct_triton, receiver, known, tmp_path):
    settings = settings_for(direct_triton, openai={"servedName": "llama", "defaultMaxTokens": 64})
    mount = ConfigMount(tmp_path, "gateway.yaml", "")
    gateway = GatewayProcess(settings, tmp_path)
    try:
        gateway.wait_ready()
        request = LoadRequest(id="mine", prompt=known.short.prompt, max_tokens=64, arrival_s=0.0)
        message = ModelInferRequest.FromString(generate_message(request, "ensemble"))
        assert Exchange(gateway.grpc_address, message, metadata=(PARENT,)).rest()
        before = gateway.status()["config_digest"]
        traces = {"endpoint": receiver.endpoint, "sampleRatio": 0.0, "resource": {"sagesched.pool": "p"}}
        mount.swap(json.dumps(settings | {"traces": traces}))
        until(lambda: gateway.status()["config_digest"] != before)
        until(lambda: is_traced(receiver, gateway, message))
        receiver.requests.clear()

        assert Exchange(gateway.grpc_address, message, metadata=(PARENT,)).rest()
        assert Exchange(gateway.grpc_address, message).rest()  # nobody asks for a trace of this one
        body = {"model": "llama", "prompt": known.short.prompt, "max_tokens": 64}
        over_http = urllib.request.Request(
            f"http://{gateway.http_address}/v1/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", PARENT[0]: PARENT[1]},
        )
        with urllib.request.urlopen(over_http, timeout=WAIT_S) as answer:
            usage = json.load(answer)["usage"]
        until(lambda: len(ours(receiver)) == 8)
        for span in [span for span in ours(receiver) if span.kind == "SERVER"]:
            assert (span.trace_id, span.parent_id) == (TRACE, SPAN)
            assert span.attributes["gen_ai.usage.output_tokens"] == known.short.output_tokens[0]
            assert span.attributes["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
            assert span.attributes["sagesched.outcome"] == "completed"
            assert span.resource["sagesched.pool"] == "p"
            parts = [part.name for part in receiver.spans if part.parent_id == span.span_id]
            assert parts == ["queue", "prefill", "decode"]
        assert {span.trace_id for span in roots(receiver)} <= {TRACE, TRACE[::-1]}
        assert not receiver.holds(known.short.prompt)
        assert not receiver.holds("colour")
    finally:
        gateway.close()


def test_what_is_under_way_at_the_end_is_still_sent(direct_triton, receiver, known, tmp_path):
    traces = {"endpoint": receiver.endpoint, "sampleRatio": 1.0}
    gateway = GatewayProcess(settings_for(direct_triton, traces=traces), tmp_path)
    try:
        gateway.wait_ready()
        request = LoadRequest(id="last", prompt=known.short.prompt, max_tokens=64, arrival_s=0.0)
        message = ModelInferRequest.FromString(generate_message(request, "ensemble"))
        assert Exchange(gateway.grpc_address, message).rest()
        gateway.signal(signal.SIGTERM)
        assert gateway.exit_code() == 0
    finally:
        gateway.close()
    until(lambda: roots(receiver))
