"""Capacity held: the engine's own queue is empty, and the engine is as full as it can be, whatever it tells.

    python bench/capacity.py                                  # virtual time, every combination
    python bench/capacity.py --live --profiles ensemble vllm  # a real tritonserver, in real time

For each way of reserving KV (`ahead`: GUARANTEED_NO_EVICT, `grows`: MAX_UTILIZATION), each kind of model and
each state of the engine's metrics, more requests than fit are sent for the whole run, and printed are, over
the run without its first third:

- the 99th percentile of iterations that requests wait in the engine's own queue (at most 2 wanted);
- the running batch over what fits (at least 0.97 wanted). What fits is the batch that the same engine reaches
  when it packs for itself: the same requests, in the very order in which the gateway started them, all sent
  straight to it at once. Both are means over the time in which others waited;
- in virtual time, output tokens per second over what the engine generates then. Where KV grows that tells
  what a batch does not: an engine that packs itself to the brim spends time on prefilling what it has paused.

What tells nothing has to be learned from requests that wait; `early` is the share that did in the first
third.
Metrics: `present`, `absent`, `stale` (they stop 5 s into the run), `high` and `low` (all counts 20 % off),
`nothing` (absent, and no size of the KV pool in the configuration). The LLM API's model and vLLM export no
gauges and no sizes, so there is one state for them; vLLM always grows KV. The LLM API does not show by which
rule it reserves: `engine.kvPolicy` is set for it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from capacity_cells import METRICS, MODELS, RULES, Cell, cells
from capacity_live import ENGINES, STREAM_INTERVAL, LiveBench, LiveSeen
from capacity_virtual import CellSettings, Seen, engine_of, run_cell, run_direct

from sagesched_emulator.dataset import DatasetError, Record, read_dataset
from sagesched_emulator.demo.errors import LoadError, StartError
from sagesched_emulator.profiles import PROFILES, EngineProfile, profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_emulator.workload import generate

MOST_WAIT = 2.0
LEAST_BATCH = 0.97
GENERATED = 3000


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        records = read_dataset(arguments.data) if arguments.data else generate(GENERATED, arguments.seed)
        make_bench = _live if arguments.live else _virtual
        num_bad = make_bench(arguments, records)
    except (DatasetError, OSError, StartError, LoadError) as error:
        print(f"capacity: {error}", file=sys.stderr)
        return 2
    print(f"\n{num_bad} misses" if num_bad else "\nall hold")
    return 0


def _virtual(arguments: argparse.Namespace, records: Sequence[Record]) -> int:
    num_bad = 0
    print(
        f"{arguments.engine}, {arguments.requests} requests, load {arguments.rho}, seed {arguments.seed}, "
        "virtual time"
    )
    for rule in arguments.rules:
        engine = engine_of(profile(arguments.engine), rule)
        trace = _trace(arguments, records, engine)
        direct = run_direct(trace, engine)
        print(f"\n{rule}: by itself, first come, first served, the engine runs {direct.batch:.1f} at a time")
        print(_HEAD)
        for cell in cells([rule], arguments.profiles, arguments.metrics):
            for policy in arguments.policies:
                settings = CellSettings(policy, arguments.kv_headroom, arguments.estimate)
                seen, fits = run_cell(trace, engine, cell, settings)
                num_bad += not _print(cell, policy, seen, fits, direct.mean_s)
    return num_bad


def _live(arguments: argparse.Namespace, records: Sequence[Record]) -> int:
    num_bad = 0
    folder = arguments.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    scale = arguments.time_scale
    print(f"{arguments.requests} requests, seed {arguments.seed}, real tritonserver, time scale {scale:g}")
    for rule in arguments.rules:
        trace = _trace(arguments, records, profile(ENGINES[rule]))
        has_tokenizer = not (arguments.data or arguments.estimate)
        bench = LiveBench(trace, folder, scale, has_tokenizer, arguments.chunk)
        direct = bench.run(rule, "ensemble", None, "direct")
        print(f"\n{rule}: by itself the engine runs {direct.batch:.1f} at a time {direct.invalid}")
        print(_LIVE_HEAD)
        for cell in cells([rule], arguments.profiles, arguments.metrics):
            for policy in arguments.policies:
                num_bad += not _print_live(cell, policy, bench.run(rule, cell.profile, cell, policy), direct)
    return num_bad


def _trace(arguments: argparse.Namespace, records: Sequence[Record], engine: EngineProfile) -> Trace:
    trace = draw_trace(
        records, profile=engine, rho=arguments.rho, num_requests=arguments.requests, seed=arguments.seed
    )
    if arguments.within is None or arguments.live:
        return trace
    stretch = arguments.within / trace.requests[-1].arrival_s
    requests = (replace(request, arrival_s=request.arrival_s * stretch) for request in trace.requests)
    return replace(trace, requests=tuple(requests))


_HEAD = (
    f"{'models':10}{'metrics':10}{'policy':15}{'wait p99':>9}{'> 2 it.':>9}{'batch':>8}{'of what fits':>14}"
    f"{'tokens/s':>10}{'mean/direct':>13}{'pauses':>8}{'early':>8}  verdict"
)


def _print(cell: Cell, policy: str, seen: Seen, fits: Seen, direct_s: float) -> bool:
    share = seen.batch / fits.batch
    holds = seen.wait_p99 <= MOST_WAIT and share >= LEAST_BATCH
    print(
        f"{cell.profile:10}{cell.metrics:10}{policy:15}{seen.wait_p99:9.1f}{seen.waited:9.2%}{seen.batch:8.1f}"
        f"{share:14.3f}{seen.tokens_per_s / fits.tokens_per_s:10.3f}{seen.mean_s / direct_s:13.3f}"
        f"{seen.pauses:8d}{seen.early:8.2%}  {'holds' if holds else 'MISSES'}",
        flush=True,
    )
    return holds


_LIVE_HEAD = (
    f"{'models':10}{'metrics':10}{'policy':15}{'wait p99':>9}{'> 2 it.':>9}{'batch':>8}{'of what fits':>14}"
    f"{'early':>8}{'failed':>8}  told"
)


def _print_live(cell: Cell, policy: str, seen: LiveSeen, direct: LiveSeen) -> bool:
    share = seen.batch / direct.batch
    holds = seen.wait_p99 <= MOST_WAIT and share >= LEAST_BATCH and not seen.failed
    told = [word for word in ("strangers", "stale") if getattr(seen, word)]
    print(
        f"{cell.profile:10}{cell.metrics:10}{policy:15}{seen.wait_p99:9.1f}{seen.waited:9.2%}{seen.batch:8.1f}"
        f"{share:14.3f}{seen.early:8.2%}{seen.failed:8d}  {' '.join(told)} "
        f"{'holds' if holds else 'MISSES'} {seen.invalid}",
        flush=True,
    )
    return holds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="dataset file; without it prompts are generated")
    parser.add_argument("--engine", choices=sorted(PROFILES), default="kv-bound", help="default: %(default)s")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--profiles", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=list(METRICS))
    parser.add_argument("--policies", nargs="+", default=["fcfs", "gittins-boost"])
    parser.add_argument("--requests", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--rho", type=float, default=1.4, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--within",
        type=float,
        metavar="SECONDS",
        help="virtual time: all is sent within so long, as live, where that is 20",
    )
    parser.add_argument(
        "--kv-headroom", type=float, help="iterations of growth kept free; default: the product's"
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="the gateway has no tokenizer, as live with --data; in virtual time on the LLM API alone",
    )
    parser.add_argument("--live", action="store_true", help="a real tritonserver, in real time")
    parser.add_argument(
        "--time-scale", type=float, default=0.75, help="wall s per engine s; default: %(default)s"
    )
    parser.add_argument(
        "--chunk",
        type=int,
        default=STREAM_INTERVAL,
        help="live: tokens to a chunk; default: %(default)s",
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench/capacity"), help="logs of live runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
