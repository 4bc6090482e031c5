"""One cell of `capacity.py` against a real tritonserver, in real time."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from capacity_cells import MODELS, RULES, Cell
from metrics_proxy import MetricsProxy

from sagesched_emulator.answers import write_answers
from sagesched_emulator.demo.gateway_process import (
    GatewayProcess,
    Prediction,
    TritonAddresses,
    gateway_config,
)
from sagesched_emulator.demo.load_process import LoadProcess
from sagesched_emulator.engine_report import EngineReport
from sagesched_emulator.load import LoadRequest, LoadSpec
from sagesched_emulator.load_messages import LLMAPI, TEXT, TOKENS, VLLM
from sagesched_emulator.tokenizer import TOKENIZER_PATH, EmulatorTokenizer
from sagesched_emulator.trace import Trace
from sagesched_emulator.triton_server import TritonServer

LATE = 2
ENGINES = {"ahead": "kv-ahead", "grows": "kv-bound"}
KINDS = {"ensemble": TEXT, "bls": TEXT, "engine": TOKENS, "llmapi": LLMAPI, "vllm": VLLM}
STREAM_INTERVAL = 16
ARRIVALS_S = 20.0
REPORT_S = 1.0


class LiveSeen(NamedTuple):
    """A run after its first third.

    Attributes:
        wait_p99: iterations in the engine's own queue.
        waited: share of requests that waited there for more than two.
        batch: mean number of running requests while others waited.
        early: share that waited for more than two iterations in the first third.
        invalid: why the run does not count; empty where it does.
        failed: requests without an answer.
        strangers: whether the gateway told of requests that were not its own, as its log has it.
        stale: whether it told of stale metrics.
    """

    wait_p99: float
    waited: float
    batch: float
    early: float
    invalid: str
    failed: int
    strangers: bool
    stale: bool


@dataclass(frozen=True, slots=True)
class LiveBench:
    """What all cells share.

    Attributes:
        trace: what is sent.
        folder: for logs; exists.
        time_scale: wall seconds per engine second.
        has_tokenizer: the gateway counts prompts by the emulated engine's tokenizer, and the engine has no
            other lengths of them than that; else the gateway estimates, and learns from the engine's counts
            where it tells them.
        stream_interval: output tokens to a chunk.
        arrivals_s: engine seconds within which all is sent, so that nearly all the run is backlog.
    """

    trace: Trace
    folder: Path
    time_scale: float
    has_tokenizer: bool
    stream_interval: int = STREAM_INTERVAL
    arrivals_s: float = ARRIVALS_S

    def run(self, rule: str, profile: str, cell: Cell | None, policy: str) -> LiveSeen:
        """Send the trace, through the gateway for a cell, else straight to Triton."""
        answers = self.folder / "answers.jsonl"
        write_answers(answers, _counted(self.trace) if self.has_tokenizer else self.trace)
        model, layout = MODELS[profile]
        with ExitStack() as stack:
            triton = stack.enter_context(
                TritonServer(
                    ENGINES[rule],
                    time_scale=self.time_scale,
                    stream_interval=self.stream_interval,
                    answers=answers,
                    layout=layout,
                    log_path=self.folder / "triton.log",
                    report_path=self.folder / "engine.json",
                )
            )
            address, gateway = triton.grpc_address, None
            if cell is not None:
                gateway = stack.enter_context(self._gateway(stack, triton, cell, policy))
                address = gateway.grpc_address
            spec = LoadSpec(
                address=address,
                model=model,
                requests=self._requests(),
                time_scale=self.time_scale,
                timeout_s=900.0,
                kind=KINDS[profile],
            )
            load = stack.enter_context(LoadProcess(spec, self.folder))
            for _ in load.progress():
                pass
            result = load.result()
            time.sleep(REPORT_S)
            report = triton.report()
            log = "" if gateway is None else gateway.log_path.read_text(encoding="utf-8")
        failed = sum(timing.error is not None for timing in result.timings)
        return _seen(report, cell is None, len(self.trace.requests), failed, log)

    def _gateway(self, stack: ExitStack, triton: TritonServer, cell: Cell, policy: str) -> GatewayProcess:
        proxy = stack.enter_context(MetricsProxy(triton.metrics_address, cell.metrics, self.time_scale))
        addresses = TritonAddresses(grpc=triton.grpc_address, http=triton.http_address, metrics=proxy.address)
        prediction = Prediction(enabled=False, tokenizer=TOKENIZER_PATH if self.has_tokenizer else None)
        config = gateway_config(addresses, policy, prediction)
        if cell.kv_policy_to_set() is not None:
            config["engine"] = {"kvPolicy": RULES[cell.rule].value}
        return GatewayProcess(config, self.folder, f"{cell.rule}-{cell.profile}-{cell.metrics}-{policy}")

    def _requests(self) -> tuple[LoadRequest, ...]:
        span_s = self.trace.requests[-1].arrival_s
        return tuple(
            LoadRequest(
                id=request.id,
                prompt=request.prompt,
                max_tokens=request.max_tokens,
                arrival_s=request.arrival_s / span_s * self.arrivals_s,
            )
            for request in self.trace.requests
        )


def _counted(trace: Trace) -> Trace:
    """PURE. The trace with prompts as long as the tokenizer says: generated ones have their own lengths."""
    tokenizer = EmulatorTokenizer()
    requests = (replace(r, prompt_tokens=len(tokenizer.encode(r.prompt))) for r in trace.requests)
    return replace(trace, requests=tuple(requests))


def _seen(report: EngineReport, is_direct: bool, num_requests: int, failed: int, log: str) -> LiveSeen:
    """PURE."""
    started = sorted(
        (r.first_scheduled_at if is_direct else r.submitted_at, r.queue_iterations)
        for r in report.requests
        if r.first_scheduled_at is not None and r.queue_iterations is not None
    )[-num_requests:]
    cut = len(started) // 3
    begin, end = started[cut][0], started[-1][0]
    waits = np.array([iterations for _, iterations in started[cut:]])
    early = np.array([iterations for _, iterations in started[:cut]])
    batch = float(np.mean([s.scheduled for s in report.samples if begin <= s.t <= end]))
    return LiveSeen(
        wait_p99=float(np.quantile(waits, 0.99)),
        waited=float((waits > LATE).mean()),
        batch=batch,
        early=float((early > LATE).mean()),
        invalid=report.why_invalid(),
        failed=failed,
        strangers="did not come through here" in log,
        stale="stand still" in log,
    )
