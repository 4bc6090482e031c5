"""A_min and A_max through the real gateway and a real Triton (`amin_amax.py --live`).

Callers want whole answers, so that requests can be taken back. `direct` is the same load straight to Triton:
its texts are the undisturbed ones that every other run's must equal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from live_client import Call, Result, send
from told_gateway import digest_of

from sagesched_emulator.answers import write_answers
from sagesched_emulator.demo.gateway_process import (
    GatewayProcess,
    Prediction,
    TritonAddresses,
    gateway_config,
)
from sagesched_emulator.load import LoadRequest
from sagesched_emulator.trace import Trace
from sagesched_emulator.triton_server import TritonServer

TOLD_GATEWAY = Path(__file__).with_name("told_gateway.py")
RUNS: dict[str, dict[str, object]] = {
    "fcfs": {"policy": "fcfs"},
    "amax": {"policy": "amax", "lowerQuantile": 0.0, "upperQuantile": 1.0},
    "amin": {"policy": "amin", "lowerQuantile": 0.0, "upperQuantile": 1.0},
    "amin, largest first": {
        "policy": "amin",
        "lowerQuantile": 0.0,
        "upperQuantile": 1.0,
        "evictFirst": "Largest",
    },
}


class Outcome(NamedTuple):
    """One run."""

    results: list[Result]
    paused: int
    evicted: int
    discarded: int


def live_table(arguments: argparse.Namespace, told: str, trace: Trace) -> bool:
    """Run and print; returns whether every text was as it should be."""
    trace = _distinct(trace)
    print(f"\n{told}, live; TTLT in engine seconds, {arguments.time_scale:g} wall seconds each")
    print(
        f"{'policy':20} {'mean TTLT':>10} {'/ direct':>9} {'p99':>8} {'paused':>7} {'evicted':>8} "
        f"{'discarded':>10} {'texts equal':>12}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_answers(folder / "answers.jsonl", trace)
        intervals = {
            digest_of(r.prompt): (int(r.known.tokens[0]), int(r.known.tokens[-1]))
            for r in trace.requests
            if r.known is not None
        }
        (folder / "intervals.json").write_text(json.dumps(intervals))
        with TritonServer(
            arguments.engine, time_scale=arguments.time_scale, answers=folder / "answers.jsonl"
        ) as triton:
            direct = Outcome(
                _send(triton.grpc_address, trace, arguments.time_scale), triton.report().evictions, 0, 0
            )
            texts = [result.text for result in direct.results]
            received = sum(min(r.output_tokens, r.max_tokens) for r in trace.requests)
            mean_s = _line("direct", direct, texts, received, arguments.time_scale, None)
            is_equal = True
            for name, scheduling in RUNS.items():
                outcome = _through_gateway(triton, folder, scheduling, trace, arguments.time_scale)
                _line(name, outcome, texts, received, arguments.time_scale, mean_s)
                is_equal &= [result.text for result in outcome.results] == texts
    return is_equal


def _through_gateway(
    triton: TritonServer, folder: Path, scheduling: dict[str, object], trace: Trace, time_scale: float
) -> Outcome:
    addresses = TritonAddresses(
        grpc=triton.grpc_address, http=triton.http_address, metrics=triton.metrics_address
    )
    config = gateway_config(addresses, "fcfs", Prediction(enabled=False)) | {"scheduling": scheduling}
    paused_before = triton.report().evictions
    command = (str(TOLD_GATEWAY), "{config}", str(folder / "intervals.json"))
    with GatewayProcess(config, folder, "live", python=command) as gateway:
        results = _send(gateway.grpc_address, trace, time_scale)
        queue = gateway.status()["queue"]
    assert isinstance(queue, dict)
    paused = triton.report().evictions - paused_before
    return Outcome(results, paused, int(queue["evictions"]), int(queue["discarded_tokens"]))


def _send(address: str, trace: Trace, time_scale: float) -> list[Result]:
    calls = [
        Call(
            request=LoadRequest(id=r.id, prompt=r.prompt, max_tokens=r.max_tokens, arrival_s=r.arrival_s),
            streams=False,
        )
        for r in trace.requests
    ]
    return asyncio.run(send(address, calls, time_scale=time_scale))


def _distinct(trace: Trace) -> Trace:
    """Each prompt of its own, so that each has one answer, whenever and however often it is asked."""
    requests = (replace(r, prompt=f"[{place}] {r.prompt}") for place, r in enumerate(trace.requests))
    return replace(trace, requests=tuple(requests))


def _line(
    name: str,
    outcome: Outcome,
    texts: Sequence[str],
    received: int,
    time_scale: float,
    direct_s: float | None,
) -> float:
    ttlt_s = np.array([result.ttlt_s for result in outcome.results]) / time_scale
    equal = sum(r.text == text for r, text in zip(outcome.results, texts, strict=True))
    mean_s = float(ttlt_s.mean())
    print(
        f"{name:20} {mean_s:10.2f} {mean_s / (direct_s or mean_s):9.3f} {np.quantile(ttlt_s, 0.99):8.2f} "
        f"{outcome.paused:7} {outcome.evicted:8} {outcome.discarded / received:10.1%} "
        f"{f'{equal}/{len(texts)}':>12}",
        flush=True,
    )
    return mean_s
