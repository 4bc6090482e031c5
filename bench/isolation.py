"""What a flood of one tenant does to another: with and without fair shares.

    python bench/isolation.py                            # virtual time
    python bench/isolation.py --policy gittins-boost --flood 10
    python bench/isolation.py --live --load 0.6          # a real tritonserver, in real time, seed 0

Two tenants of equal weight. B asks for `--load` of its half of the engine, steadily; A floods with `--flood`
times its own half during the same time. Measured is B's TTLT: *alone on its share* (B's requests only, on an
engine with half the slots and half the KV pool), *with A, shares kept*, *with A, shares off*. Wanted: p99
with shares within 1.3 times that of B alone on its share. The first `--settle` seconds do not count: a flood
that meets an empty engine fills it with requests that all begin, and until the first of them end nobody
starts, whoever it is. Live, nobody runs with shares off: B's callers would wait for the whole flood.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from isolation_live import live_results
from pressure_trace import add_arguments, heading, records_of

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_emulator.profiles import EngineProfile, halved, profile
from sagesched_emulator.trace import Trace, TraceRequest, draw_trace
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings, TenantSettings
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import ReplaySettings, replay

SHARE = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        records = records_of(arguments)
    except (DatasetError, OSError) as error:
        print(f"isolation: {error}", file=sys.stderr)
        return 2
    print(heading(arguments, records))
    if arguments.live:
        return _live(arguments, records)
    print(f"B at {arguments.load:g} of its share, A at {arguments.flood:g} times its own; TTLT of B, seconds")
    print(
        f"{'policy':14} {'alone: mean':>12} {'p99':>7} | {'shares: mean':>13} {'p99':>7} {'ratio':>6} | "
        f"{'off: mean':>10} {'p99':>8} {'ratio':>6}"
    )
    for policy in arguments.policy:
        print(_line(arguments, records, policy), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, requests=500)
    parser.add_argument("--policy", nargs="+", default=["fcfs", "gittins-boost", "sagesched"])
    parser.add_argument("--flood", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--load", type=float, default=0.8, help="default: %(default)s")
    parser.add_argument("--live", action="store_true", help="a real tritonserver, in real time, seed 0")
    parser.add_argument(
        "--time-scale", type=float, default=0.75, help="live: wall s per engine s; default: %(default)s"
    )
    parser.add_argument("--settle", type=float, default=60.0, help="seconds (default: %(default)s)")
    return parser


def _line(arguments: argparse.Namespace, records: Sequence[Record], policy: str) -> str:
    engine = profile(arguments.engine)
    alone, shared, off = [], [], []
    for seed in range(arguments.seeds):
        steady, flood = _tenants(arguments, records, engine, seed)
        both = _merged(steady, flood)
        alone += _ttlts(steady, halved(engine), policy, PressureSettings(), arguments.settle)
        shared += _ttlts(both, engine, policy, PressureSettings(tenants=TenantSettings()), arguments.settle)
        off += _ttlts(both, engine, policy, PressureSettings(), arguments.settle)
    base = float(np.quantile(alone, 0.99))
    columns = [f"{policy:14} {np.mean(alone):12.2f} {base:7.2f}"]
    for ttlts, width in ((shared, 13), (off, 10)):
        p99 = float(np.quantile(ttlts, 0.99))
        columns.append(f"{np.mean(ttlts):{width}.2f} {p99:8.2f} {p99 / base:6.2f}")
    return " | ".join(columns)


def _live(arguments: argparse.Namespace, records: Sequence[Record]) -> int:
    steady, flood = _tenants(arguments, records, profile(arguments.engine), 0)
    scale = arguments.time_scale
    print(
        f"B at {arguments.load:g} of its share, {len(steady.requests)} requests, A at {arguments.flood:g} "
        f"times its own, {len(flood.requests)}; TTLT of B, engine seconds, {scale:g} wall seconds each"
    )
    print(f"{'policy':14} {'':>8} {'counted':>8} {'mean':>7} {'p99':>7} {'ratio':>6} {'failed':>7}")
    for policy in arguments.policy:
        base = float("nan")
        for name, other in (("alone", None), ("shares", flood)):
            results = [
                result
                for result in live_results(steady, other, policy, scale)
                if result.call.request.arrival_s >= arguments.settle
            ]
            ttlts = np.array([result.ttlt_s for result in results if result.last_at is not None]) / scale
            p99 = float(np.quantile(ttlts, 0.99))
            base = p99 if other is None else base
            print(
                f"{policy:14} {name:>8} {ttlts.size:8} {ttlts.mean():7.2f} {p99:7.2f} {p99 / base:6.2f} "
                f"{len(results) - ttlts.size:7}",
                flush=True,
            )
    return 0


def _tenants(
    arguments: argparse.Namespace, records: Sequence[Record], engine: EngineProfile, seed: int
) -> tuple[Trace, Trace]:
    """B's requests, and A's over the same span."""

    def draw(num_requests: int, rho: float, seed: int) -> Trace:
        return draw_trace(
            records, profile=engine, rho=rho, num_requests=num_requests, seed=seed, repeats=True
        )

    steady = draw(arguments.requests, SHARE * arguments.load, seed)
    num_flood = round(arguments.requests * arguments.flood / arguments.load)
    flood = draw(num_flood, SHARE * arguments.flood, seed + 1000)
    fitting = tuple(request for request in flood.requests if request.arrival_s <= steady.span_s)
    return _owned(steady, "B"), _owned(replace(flood, requests=fitting), "A")


def _owned(trace: Trace, tenant: str) -> Trace:
    requests = (replace(r, id=f"{tenant}-{r.id}", tenant=tenant) for r in trace.requests)
    return replace(trace, requests=tuple(requests))


def _merged(one: Trace, other: Trace) -> Trace:
    def arrival(request: TraceRequest) -> float:
        return request.arrival_s

    return replace(one, requests=tuple(sorted(one.requests + other.requests, key=arrival)))


def _ttlts(
    trace: Trace, engine: EngineProfile, policy: str, pressure: PressureSettings, settle_s: float
) -> list[float]:
    settings = ReplaySettings(policy=PolicySettings(name=policy), pressure=pressure)
    run = replay(trace, engine, settings, OtherAnswers())
    return [
        served.last_at - served.request.arrival_s
        for served in run.served
        if served.request.tenant == "B"
        and served.last_at is not None
        and served.request.arrival_s >= settle_s
    ]


if __name__ == "__main__":
    sys.exit(main())
