"""A ten-fold burst for a minute, through the real gateway and a real Triton with the emulated engine.

    python bench/burst.py
    python bench/burst.py --burst 10 --seconds 60 --limit 20

Steady load at `--rho` of the engine; for `--seconds` (engine seconds) it is `--burst` times that, then steady
again. At most `--limit` predicted seconds of work may wait; callers that are refused stay away, or come again
when told to, as often as `--retries` says.

Shown are: the gateway's memory (bounded); refusals by their word (all of them `overloaded`, each with a time
to come again), and which share of those who came again was taken; and the recovery: the time from the burst's
end until time to first token is again what it was before it (median of ten seconds within 1.5 times, or half
a second); and the time until all that waited at the burst's end had their first token, beside the time to
start all of it, p50 and p90, as `/status` predicted it then. Predictions are learnt from the load itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from live_client import Call, Result, send
from pressure_trace import add_arguments, records_of

from sagesched_emulator.answers import write_answers
from sagesched_emulator.dataset import DatasetError, Record
from sagesched_emulator.demo.gateway_process import (
    GatewayProcess,
    Prediction,
    TritonAddresses,
    gateway_config,
)
from sagesched_emulator.load import LoadRequest
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import TraceRequest, draw_trace
from sagesched_emulator.triton_server import TritonServer
from sagesched_predictor.training.export import export_encoder

WINDOW_S = 10.0
SLOWER = 1.5
SLACK_S = 0.5
WATCH_S = 1.0
STREAM_INTERVAL = 16
"""Tokens per response: clients of all requests at once must fit on the machine, too."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        records = records_of(arguments)
    except (DatasetError, OSError) as error:
        print(f"burst: {error}", file=sys.stderr)
        return 2
    requests = _requests(arguments, records)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_answers(folder / "answers.jsonl", requests)
        with TritonServer(
            arguments.engine,
            time_scale=arguments.time_scale,
            stream_interval=STREAM_INTERVAL,
            answers=folder / "answers.jsonl",
        ) as triton:
            addresses = TritonAddresses(
                grpc=triton.grpc_address, http=triton.http_address, metrics=triton.metrics_address
            )
            config = gateway_config(addresses, arguments.policy, Prediction(encoder=export_encoder()))
            config["limits"] = {"queuedSeconds": arguments.limit * arguments.time_scale}
            with GatewayProcess(config, folder, "burst") as gateway:
                results, looks = asyncio.run(_run(gateway, requests, arguments.time_scale, arguments.retries))
    return _print(arguments, results, looks)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, requests=0)
    parser.add_argument("--policy", default="gittins-boost", help="default: %(default)s")
    parser.add_argument("--rho", type=float, default=0.5, help="steady load (default: %(default)s)")
    parser.add_argument("--burst", type=float, default=10.0, help="times that (default: %(default)s)")
    parser.add_argument("--before", type=float, default=40.0, help="engine seconds (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of burst (default: %(default)s)")
    parser.add_argument("--after", type=float, default=80.0, help="engine seconds (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=20.0, help="engine seconds that may wait")
    parser.add_argument("--retries", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--time-scale", type=float, default=0.75, help="default: %(default)s")
    return parser


def _requests(arguments: argparse.Namespace, records: Sequence[Record]) -> list[TraceRequest]:
    """The three phases, each prompt of its own."""
    drawn: list[TraceRequest] = []
    begin_s = 0.0
    phases = (
        (arguments.rho, arguments.before),
        (arguments.rho * arguments.burst, arguments.seconds),
        (arguments.rho, arguments.after),
    )
    for seed, (rho, seconds) in enumerate(phases):
        trace = draw_trace(
            records, profile=profile(arguments.engine), rho=rho, num_requests=4000, seed=seed, repeats=True
        )
        drawn += [
            _moved(r, begin_s, len(drawn) + n) for n, r in enumerate(trace.requests) if r.arrival_s < seconds
        ]
        begin_s += seconds
    return drawn


def _moved(request: TraceRequest, by_s: float, number: int) -> TraceRequest:
    return TraceRequest(
        id=f"{number}",
        prompt=f"[{number}] {request.prompt}",
        prompt_tokens=request.prompt_tokens,
        max_tokens=request.max_tokens,
        arrival_s=request.arrival_s + by_s,
        output_tokens=request.output_tokens,
    )


Look = tuple[float, float, dict[str, float]]
"""Wall seconds since the start, MiB of memory, the queue as `/status` tells it."""


async def _run(
    gateway: GatewayProcess, requests: Sequence[TraceRequest], time_scale: float, retries: int
) -> tuple[list[Result], list[Look]]:
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    looks: list[Look] = []

    async def watch() -> None:
        while True:
            status = await asyncio.to_thread(gateway.status)
            queue = status["queue"]
            assert isinstance(queue, dict)
            looks.append((loop.time() - started_at, gateway.rss_mib(), queue))
            await asyncio.sleep(WATCH_S)

    calls = [
        Call(
            request=LoadRequest(id=r.id, prompt=r.prompt, max_tokens=r.max_tokens, arrival_s=r.arrival_s),
            retries=retries,
        )
        for r in requests
    ]
    watching = asyncio.create_task(watch())
    results = await send(gateway.grpc_address, calls, time_scale=time_scale)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return results, looks


def _print(arguments: argparse.Namespace, results: list[Result], looks: list[Look]) -> int:
    scale = arguments.time_scale
    begins, ends = arguments.before * scale, (arguments.before + arguments.seconds) * scale
    burst = [result for result in results if begins <= result.due_at < ends]
    print(
        f"{len(results)} requests, {len(burst)} of them in a burst of {arguments.burst:g} times "
        f"{arguments.rho:g} for {arguments.seconds:g} s; {arguments.limit:g} s may wait; {arguments.policy}, "
        f"{arguments.engine}, {scale:g} wall s per engine s"
    )
    memory = [(at, mib) for at, mib, _ in looks]
    before = [mib for at, mib in memory if at < begins]
    most = max(mib for _, mib in memory)
    print(f"memory MiB: before {before[-1]:.0f}, most {most:.0f}, at the end {memory[-1][1]:.0f}")
    queued = max(queue["queued"] for _, _, queue in looks)
    backlog = max(queue["backlog_p50_s"] for _, _, queue in looks) / scale
    print(f"queue: at most {queued:.0f} requests, {backlog:.0f} engine s until all have started (predicted)")
    words = Counter(word for result in results for word in result.refusals)
    told = sum(len(result.retry_after_s) for result in results)
    print(f"refusals: {dict(words)}, {told} of {sum(words.values())} told when to come again")
    again = [result for result in results if result.refusals]
    taken = [result for result in again if result.last_at is not None]
    if arguments.retries:
        print(f"came again: {len(again)}, taken then: {len(taken) / max(len(again), 1):.1%}")
    usual_s = _median_ttft(results, 0.0, begins)
    looked_at, then = next((at, queue) for at, _, queue in looks if at >= ends)
    recovered_s = _recovery(results, ends, usual_s)
    within_s = _median_ttft(results, begins, ends)
    print(f"time to first token, wall s: median {usual_s:.2f} before, {within_s:.2f} in the burst")
    print(f"as before {recovered_s:.0f} s after its end")
    print(
        f"{then['queued']:.0f} waited then: all had begun after {_all_begun(results, looked_at):.0f} s, "
        f"predicted then: p50 {then['backlog_p50_s']:.0f} s, p90 {then['backlog_p90_s']:.0f} s"
    )
    return 0


def _ttfts(results: Sequence[Result], begin: float, end: float) -> list[float]:
    """Of those who were taken at once."""
    return [
        result.first_at - result.due_at
        for result in results
        if begin <= result.due_at < end and result.first_at is not None and not result.refusals
    ]


def _median_ttft(results: Sequence[Result], begin: float, end: float) -> float:
    return float(np.median(_ttfts(results, begin, end)))


def _all_begun(results: Sequence[Result], at: float) -> float:
    """Wall seconds from an instant until the last of what waited then got its first token."""
    begun = [result.first_at for result in results if result.due_at < at and result.first_at is not None]
    return max(max(begun) - at, 0.0)


def _recovery(results: Sequence[Result], ends: float, usual_s: float) -> float:
    """Wall seconds after the burst from which newcomers get their first token as before."""
    after = 0.0
    while ttfts := _ttfts(results, ends + after, ends + after + WINDOW_S):
        if float(np.median(ttfts)) <= max(SLOWER * usual_s, usual_s + SLACK_S):
            return after
        after += 1.0
    return float("inf")


if __name__ == "__main__":
    sys.exit(main())
