"""A_min and A_max beside other policies: what counting on a bound costs and gains.

    python bench/amin_amax.py
    python bench/amin_amax.py --headroom 0 16 --predictions interval classes
    python bench/amin_amax.py --live --requests 400 --rho 1.3

In virtual time, or with `--live` through the real gateway and a real Triton. All policies run the same traces
on an engine that grows KV as it goes. What they are told of a length:

- `recorded`: nine other answers to the same prompt;
- `interval`: between 1 and 1,000, no more (the bounds of the paper's widest setting);
- `classes`: which 100 tokens it lies in (the paper's classes).

`interval` and `classes` are stated as evenly spread over the interval; amin and amax take its ends. With
`--headroom 0` jobs are admitted to the brim as in the paper, else as the product does (16 iterations of
growth). *Paused* counts the engine's own pauses, *evicted* the gateway's cancellations, *discarded* the
tokens generated in vain over those received. Ratios are to `fcfs`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from amin_amax_live import live_table
from pressure_trace import add_arguments, heading, records_of

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import Trace, TraceRequest, draw_trace
from sagesched_gateway.scheduling.settings import EvictFirst, PolicySettings
from sagesched_predictor import LengthDistribution
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import ReplaySettings, replay
from sagesched_replay.report import RunFigures, run_figures

PREDICTIONS = ("recorded", "interval", "classes")
LONGEST = 1000
CLASS = 100


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        records = records_of(arguments)
    except (DatasetError, OSError) as error:
        print(f"amin_amax: {error}", file=sys.stderr)
        return 2
    print(f"{heading(arguments, records)}, rho {arguments.rho}")
    if arguments.live:
        tables = [
            live_table(arguments, told, _trace(arguments, records, told, 0))
            for told in arguments.predictions
            if told != "recorded"
        ]
        return 0 if all(tables) else 1
    for told in arguments.predictions:
        for headroom in arguments.headroom:
            _table(arguments, records, told, headroom)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, requests=2000)
    parser.add_argument("--rho", type=float, default=1.05, help="load (default: %(default)s)")
    parser.add_argument("--predictions", nargs="+", choices=PREDICTIONS, default=list(PREDICTIONS))
    parser.add_argument("--headroom", nargs="+", type=float, default=[0.0, 16.0], help="iterations of growth")
    parser.add_argument(
        "--live", action="store_true", help="in front of a real Triton, seed 0, no `recorded`"
    )
    parser.add_argument("--time-scale", type=float, default=0.75, help="live: default: %(default)s")
    return parser


def _table(arguments: argparse.Namespace, records: Sequence[Record], told: str, headroom: float) -> None:
    print(f"\n{told}, headroom {headroom:g}")
    print(
        f"{'policy':20} {'mean TTLT':>10} {'/ fcfs':>7} {'p99':>8} {'/ fcfs':>7} {'paused':>7} "
        f"{'evicted':>8} {'discarded':>10}"
    )
    rows: dict[str, list[RunFigures]] = {}
    for seed in range(arguments.seeds):
        trace = _trace(arguments, records, told, seed)
        for name, policy in _policies(told).items():
            settings = ReplaySettings(policy=policy, kv_headroom_iterations=headroom)
            run = replay(trace, profile(arguments.engine), settings, OtherAnswers())
            rows.setdefault(name, []).append(run_figures(run))
    base = rows["fcfs"]
    for name, runs in rows.items():
        mean, p99 = _mean(runs, "mean_ttlt_s"), _mean(runs, "p99_ttlt_s")
        print(
            f"{name:20} {mean:10.2f} {mean / _mean(base, 'mean_ttlt_s'):7.3f} {p99:8.2f} "
            f"{p99 / _mean(base, 'p99_ttlt_s'):7.3f} {_mean(runs, 'evictions'):7.0f} "
            f"{_mean(runs, 'gateway_evictions'):8.0f} {_mean(runs, 'discarded_tokens'):10.1%}",
            flush=True,
        )


def _policies(told: str) -> dict[str, PolicySettings]:
    """By the name printed; the whole interval where an interval is what is told."""
    low, high = (0.1, 0.9) if told == "recorded" else (0.0, 1.0)
    amin = PolicySettings(name="amin", lower_quantile=low, upper_quantile=high)
    return {
        "fcfs": PolicySettings(name="fcfs"),
        "sagesched": PolicySettings(name="sagesched"),
        "amax": replace(amin, name="amax"),
        "amin": amin,
        "amin, uncapped": replace(amin, max_evictions=10**6),
        "amin, largest first": replace(amin, evict_first=EvictFirst.LARGEST),
    }


def _trace(arguments: argparse.Namespace, records: Sequence[Record], told: str, seed: int) -> Trace:
    trace = draw_trace(
        records,
        profile=profile(arguments.engine),
        rho=arguments.rho,
        num_requests=arguments.requests,
        seed=seed,
        repeats=True,
    )
    if told == "recorded":
        return trace
    return replace(trace, requests=tuple(_told(request, told) for request in trace.requests))


def _told(request: TraceRequest, told: str) -> TraceRequest:
    """The request with an interval for all that is known; answers are cut at 1,000 tokens."""
    length = min(request.output_tokens, LONGEST)
    low, high = 1, LONGEST
    if told == "classes":
        low = (length - 1) // CLASS * CLASS + 1
        high = low + CLASS - 1
    known = LengthDistribution.from_samples(np.linspace(low, high, 64))
    return replace(request, output_tokens=length, max_tokens=LONGEST, known=known)


def _mean(runs: Sequence[RunFigures], name: str) -> float:
    return float(np.mean([getattr(run, name) for run in runs]))


if __name__ == "__main__":
    sys.exit(main())
