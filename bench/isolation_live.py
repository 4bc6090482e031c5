"""A flood through the real gateway and a real Triton (`isolation.py --live`).

B *alone on its share* stands before `kv-half`, half of `kv-bound`; *with A* both stand before `kv-bound`,
each entitled to half. A's callers wait for as long as B has requests, and then all go. What a policy wants to
know of lengths is learnt from the load itself.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from live_client import Call, Result, send

from sagesched_emulator.answers import write_answers
from sagesched_emulator.demo.gateway_process import (
    GatewayProcess,
    Prediction,
    TritonAddresses,
    gateway_config,
)
from sagesched_emulator.load import LoadRequest
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_emulator.triton_server import TritonServer
from sagesched_predictor.training.export import export_encoder
from sagesched_replay.run import BLIND

ENGINE, HALF = "kv-bound", "kv-half"
STREAM_INTERVAL = 16
MOST_WAITING = 50_000


def live_results(steady: Trace, flood: Trace | None, policy: str, time_scale: float) -> list[Result]:
    """What B's callers got; without a flood on its half of the engine."""
    steady = _distinct(steady)
    traces = [steady] if flood is None else [steady, _distinct(flood)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_answers(folder / "answers.jsonl", [request for trace in traces for request in trace.requests])
        with (
            TritonServer(
                HALF if flood is None else ENGINE,
                time_scale=time_scale,
                stream_interval=STREAM_INTERVAL,
                answers=folder / "answers.jsonl",
            ) as triton,
            GatewayProcess(_config(triton, policy), folder, "isolation") as gateway,
        ):
            results = asyncio.run(_send(gateway.grpc_address, traces, time_scale))
            why_invalid = triton.report().why_invalid()
    if why_invalid:
        print(f"this run does not count: {why_invalid}", flush=True)
    return results


def _config(triton: TritonServer, policy: str) -> dict[str, object]:
    addresses = TritonAddresses(
        grpc=triton.grpc_address, http=triton.http_address, metrics=triton.metrics_address
    )
    blind = policy in BLIND
    prediction = Prediction(enabled=False) if blind else Prediction(encoder=export_encoder())
    return gateway_config(addresses, policy, prediction) | {
        "attributes": {"trustedNetworks": ["127.0.0.0/8"]},
        "limits": {"queuedRequests": MOST_WAITING},
        "tenants": {"enabled": True},
    }


async def _send(address: str, traces: Sequence[Trace], time_scale: float) -> list[Result]:
    loads = [
        asyncio.create_task(send(address, [_call(r) for r in trace.requests], time_scale=time_scale))
        for trace in traces
    ]
    results = await loads[0]
    for flood in loads[1:]:
        flood.cancel()
    await asyncio.gather(*loads[1:], return_exceptions=True)
    return results


def _call(request: TraceRequest) -> Call:
    return Call(
        request=LoadRequest(
            id=request.id, prompt=request.prompt, max_tokens=request.max_tokens, arrival_s=request.arrival_s
        ),
        attributes=(("tenant", request.tenant),),
    )


def _distinct(trace: Trace) -> Trace:
    """Each prompt of its own, so that each has one answer."""
    requests = (replace(request, prompt=f"[{request.id}] {request.prompt}") for request in trace.requests)
    return replace(trace, requests=tuple(requests))
