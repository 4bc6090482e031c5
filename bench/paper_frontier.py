"""Gittins-Boost against everybody: mean against p99, as ratios to first come, first served.

    python bench/paper_frontier.py                      all cases
    python bench/paper_frontier.py --case headline --requests 500 --seeds 0-1
    python bench/paper_frontier.py --case headline --picture docs/guides/frontier.svg

- `headline`: `kv-bound`, load 1.05, Poisson, nine other answers to each prompt known, CASTILLO
  (Llama-3.1-8B): the policies of replay, at the gateway and inside the engine.
- `loads`: 0.7 to 1.3, Poisson and the gaps of Azure's code trace.
- `engines`: slot-bound, KV reserved ahead, H100 with 8B and 32B.
- `rule`: how the default tail weight was picked, on another model's answers and other seeds.
- `overload`: one long request in a hundred, load 1.3: do they start, and what does γ_min change?

Policies inside the engine swap what they put aside to host memory, at what PCIe takes, in series:
recomputing, as the engine behind the gateway does when memory runs out, would cost them far more than it
saves (an MLFQ then does little else). They have no hop and no wait for a prediction. So compare them with
`fcfs@engine`, which has the same. Left out are `mean-length`, which is `ssjf` without its guard, and `amax`
and `amin`, which `bench/amin_amax.py` and `bench/paper_bounds.py` are about.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from frontier_picture import Point, draw_frontier
from paper import (
    ARRIVALS,
    PERCENTILES,
    Contender,
    Kept,
    Runs,
    add_arguments,
    castillo,
    contender,
    digest,
    interval,
    kept_of,
    machine,
    poisson,
    say,
    seeds_of,
)

from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_predictor import LengthDistribution
from sagesched_replay.inside.preemption import Preemption
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import ReplaySettings, replay
from sagesched_replay.told import told

OTHER_MODEL = "Qwen--Qwen2.5-7B-Instruct-1M"
BOOSTS = tuple(
    contender("gittins-boost", f"gittins-boost c={weight:g}", tail_weight=weight)
    for weight in (0.25, 0.5, 1.0, 2.0, 4.0)
)
DEFAULT = "gittins-boost c=1"
FCFS = contender("fcfs")
AT_THE_GATEWAY = (
    *(contender(name) for name in ("ssjf", "sagesched", "mean-cost", "svf", "tie", "wspt")),
    *(contender(name) for name in ("hrrn", "short-first")),
    contender("ssjf", "ssjf, age guard", age_guard=True),
    *(contender("promotion", f"promotion {wait:g} s", promote_after_s=wait) for wait in (15.0, 60.0)),
    *(contender("fixed-boost", f"fixed-boost {g:g} /s", gamma_per_s=g) for g in (0.005, 0.02)),
    contender("sjf"),
)
INSIDE = tuple(
    contender(name, preemption=Preemption())
    for name in (
        *("fcfs@engine", "sagesched@engine", "gittins-boost@engine", "mlfq", "mlfq-unaged"),
        *("ltr", "trail", "trail-release", "srpt"),
    )
)
Table = dict[str, list[Kept]]


def ratios(table: Table, label: str, name: str) -> list[float]:
    """One policy's figure over that of `fcfs`, per seed."""
    return [getattr(a, name) / getattr(b, name) for a, b in zip(table[label], table["fcfs"], strict=True)]


def run_all(runs: Runs, traces: Sequence[tuple[str, Trace]], engine: str, who: Sequence[Contender]) -> Table:
    """Every contender on every trace."""
    table: Table = {}
    for name, trace in traces:
        for one in who:
            table.setdefault(one.label, []).append(runs.of(trace, name, profile(engine), one))
    return table


def lines_of(table: Table) -> list[str]:
    """A row per contender."""
    lines = [f"{'policy':28} {'mean TTLT / fcfs':>24} {'p99 TTLT / fcfs':>24} {'pauses':>8}"]
    for label, kept in table.items():
        mean, p99 = interval(ratios(table, label, "mean")), interval(ratios(table, label, "p99"))
        pauses = np.mean([one.figures.evictions + one.figures.gateway_evictions for one in kept])
        lines.append(f"{label:28} {mean!s:>24} {p99!s:>24} {pauses:8.0f}")
    return lines


def dominators(table: Table, label: str, rivals: Sequence[Contender]) -> list[str]:
    """Who is better than this one in mean and p99 together, each with 95 % confidence over paired seeds."""
    found = []
    for rival in rivals:
        if rival.label not in table or rival.label == label:
            continue
        gaps = [
            interval(
                [a - b for a, b in zip(ratios(table, rival.label, n), ratios(table, label, n), strict=True)]
            )
            for n in ("mean", "p99")
        ]
        if all(gap.high < 0 for gap in gaps):
            found.append(rival.label)
    return found


def headline(options: argparse.Namespace, runs: Runs, seeds: Sequence[int]) -> None:
    records = castillo()
    name = f"castillo {digest(records)} Poisson 1.05 n{options.requests}"
    traces = [
        (f"{name} s{s}", poisson(records, profile("kv-bound"), 1.05, options.requests, s)) for s in seeds
    ]
    table = run_all(runs, traces, "kv-bound", (FCFS, *BOOSTS, *AT_THE_GATEWAY, *INSIDE))
    outside = [one for one in (FCFS, *AT_THE_GATEWAY) if not one.is_oracle]
    inside = [one for one in INSIDE if not one.is_oracle]
    words = []
    for boost in BOOSTS:
        by_gateway = dominators(table, boost.label, outside)
        by_engine = dominators(table, boost.label, inside)
        words.append(
            f"{boost.label}: at the gateway {', '.join(by_gateway) or 'nobody'}; "
            f"inside the engine {', '.join(by_engine) or 'nobody'}"
        )
    nearest = _nearest(table, outside)
    if options.picture:
        _draw(options, table)
    say(
        "the frontier of gittins-boost over its tail weight is dominated by no policy that is not an oracle "
        "(mean and p99 together)",
        f"{name}, kv-bound, seeds {options.seeds}, nine other answers known, {machine()}",
        "better in both than ... " + "; ".join(words) + f". Nearest at the gateway: {nearest}",
        lines_of(table),
    )


def _draw(options: argparse.Namespace, table: Table) -> None:
    def point(label: str, shown: str = "") -> Point:
        mean, p99 = (float(np.mean(ratios(table, label, name))) for name in ("mean", "p99"))
        return Point(shown or label, mean, p99, is_named_left="guard" in label)

    curve = [point(one.label, f"{one.settings.tail_weight:g}") for one in BOOSTS]
    others = [point(label) for label in ("fcfs", "ssjf", "ssjf, age guard", "sagesched")]
    set_up = f"{options.requests} requests, load 1.05, lengths' distributions known; green: tailWeight"
    draw_frontier(options.picture, curve, others, set_up)


def _nearest(table: Table, rivals: Sequence[Contender]) -> str:
    """Whom a boost beats in both by the least, and by how much."""
    best: tuple[float, str] = (float("inf"), "nobody")
    for boost in BOOSTS:
        for rival in rivals:
            gaps = [
                float(np.mean(ratios(table, rival.label, n)) / np.mean(ratios(table, boost.label, n))) - 1
                for n in ("mean", "p99")
            ]
            if max(gaps) < best[0]:
                best = (
                    max(gaps),
                    f"{rival.label} against {boost.label}: mean {gaps[0]:+.1%}, p99 {gaps[1]:+.1%}",
                )
    return best[1]


def loads(options: argparse.Namespace, runs: Runs, seeds: Sequence[int]) -> None:
    records = castillo()
    who = (FCFS, contender("sagesched"), BOOSTS[2])
    for arrivals, draw in ARRIVALS.items():
        lines = [f"{'load':>5} " + "".join(f"{one.label:>38}" for one in who[1:])]
        for rho in options.loads:
            name = f"castillo {digest(records)} {arrivals} {rho:g} n{options.requests}"
            traces = [
                (f"{name} s{s}", draw(records, profile("kv-bound"), rho, options.requests, s)) for s in seeds
            ]
            table = run_all(runs, traces, "kv-bound", who)
            cells = [_mean_and_p99(table, one.label) for one in who[1:]]
            lines.append(f"{rho:5.2f} " + "".join(cells))
            if rho == 0.7:
                _say_quiet(options, name, table)
            if rho == 1.05 and arrivals != "Poisson":
                _say_bursts(options, name, table)
        say(
            f"gain by load, {arrivals}: never worse than fcfs in the mean",
            f"castillo {digest(records)}, kv-bound, {options.requests} requests, seeds {options.seeds}; mean "
            "(95 %) and p99 of TTLT over fcfs",
            "the gain begins where a queue does and p99 is paid for it; see rows",
            lines,
        )


def _mean_and_p99(table: Table, label: str) -> str:
    return f"{interval(ratios(table, label, 'mean'))!s:>24}{np.mean(ratios(table, label, 'p99')):>14.3f}"


def _say_quiet(options: argparse.Namespace, name: str, table: Table) -> None:
    """No percentile far above first come, first served at load 0.7."""
    pairs = zip(table[DEFAULT], table["fcfs"], strict=True)
    over = np.array([np.array(boost.percentiles) / np.array(fcfs.percentiles) - 1 for boost, fcfs in pairs])
    mean = over.mean(axis=0)
    worst = int(np.argmax(mean))
    say(
        "at load 0.7 no percentile lies above fcfs by more than 5 %",
        f"{name}, kv-bound, seeds {options.seeds}, default tail weight; percentiles 1 to 99.5, mean over "
        "seeds",
        f"{'held' if mean[worst] <= 0.05 else 'NOT held'}: the worst is percentile {PERCENTILES[worst]:g}, "
        f"{mean[worst]:+.1%} (the worst of any seed {over.max():+.1%})",
    )


def _say_bursts(options: argparse.Namespace, name: str, table: Table) -> None:
    mean, p99 = interval(ratios(table, DEFAULT, "mean")), interval(ratios(table, DEFAULT, "p99"))
    held = p99.mean <= 1.5 and mean.mean <= 0.45
    say(
        "with Azure's bursts at load 1.05 the default has p99 at most 1.5 of fcfs at a mean of at most 0.45",
        f"{name}, kv-bound, seeds {options.seeds}",
        f"{'held' if held else 'NOT held'}: mean {mean}, p99 {p99}",
    )


def engines(options: argparse.Namespace, runs: Runs, seeds: Sequence[int]) -> None:
    records = castillo()
    who = (FCFS, contender("ssjf"), contender("sagesched"), contender("tie"), BOOSTS[1], BOOSTS[2])
    lines = []
    for engine in ("slot-bound", "kv-ahead", "h100-8b", "h100-32b"):
        name = f"castillo {digest(records)} Poisson 1.2 {engine} n{options.requests}"
        traces = [
            (f"{name} s{s}", poisson(records, profile(engine), 1.2, options.requests, s)) for s in seeds
        ]
        table = run_all(runs, traces, engine, who)
        lines += [engine, *lines_of(table)]
    say(
        "the default helps on every kind of engine, by either KV rule",
        f"castillo {digest(records)}, load 1.2, {options.requests} requests, seeds {options.seeds}",
        "see rows; where slots or a reservation are what is scarce the gain is smaller",
        lines,
    )


def rule(options: argparse.Namespace, runs: Runs, seeds: Sequence[int]) -> None:
    """On other prompts' answers (another model) and seeds of its own."""
    records = castillo(OTHER_MODEL)
    weights = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
    boosts = [contender("gittins-boost", f"c={weight:g}", tail_weight=weight) for weight in weights]
    lines = [f"{'':24}" + "".join(f"{f'c = {weight:g}':>18}" for weight in weights)]
    allowed = set(weights)
    for arrivals in ARRIVALS:
        for rho in (1.05, 1.3):
            name = f"{OTHER_MODEL} {digest(records)} {arrivals} {rho:g} n{options.requests}"
            draw = ARRIVALS[arrivals]
            traces = [
                (f"{name} s{100 + s}", draw(records, profile("kv-bound"), rho, options.requests, 100 + s))
                for s in seeds
            ]
            table = run_all(runs, traces, "kv-bound", (FCFS, *boosts))
            cells = []
            for boost in boosts:
                mean, p99 = (float(np.mean(ratios(table, boost.label, n))) for n in ("mean", "p99"))
                cells.append(f"{mean:>10.3f} / {p99:.3f}")
                if arrivals != "Poisson" and p99 > 1.5:
                    allowed.discard(boost.settings.tail_weight)
            lines.append(f"{arrivals + f' {rho:g}':24}" + "".join(f"{cell:>18}" for cell in cells))
    picked = min(allowed, default=None)
    say(
        "the default tail weight is the smallest whose p99 stays within 1.5 of fcfs under recorded bursts",
        f"{OTHER_MODEL} {digest(records)}, kv-bound, {options.requests} requests, seeds "
        f"{', '.join(str(100 + s) for s in seeds)}; mean / p99 of TTLT over fcfs",
        f"the rule picks {picked}; the default is 1",
        lines,
    )


def overload(options: argparse.Namespace, runs: Runs, seeds: Sequence[int]) -> None:
    """Load 1.3 for long, one request in a hundred long and known to be."""
    records = castillo()
    who = (
        FCFS,
        contender("sagesched"),
        BOOSTS[2],
        contender("fixed-boost", "fixed-boost 0.005 /s", gamma_per_s=0.005),
        contender("promotion", "promotion 60 s", promote_after_s=60.0),
        contender("tie"),
    )
    num = options.requests * 4
    lines = [
        f"{'policy':28} {'long ones started before the last arrival':>44} {'p99 / fcfs':>12} {'mean':>8}"
    ]
    started: dict[str, list[float]] = {}
    table: Table = {}
    for seed in seeds[:3]:
        trace = with_long_ones(poisson(records, profile("kv-bound"), 1.3, num, seed), seed)
        for one in who:
            share, kept = _long_ones(runs, trace, one)
            started.setdefault(one.label, []).append(share)
            table.setdefault(one.label, []).append(kept)
    for label, shares in started.items():
        mean, p99 = (float(np.mean(ratios(table, label, n))) for n in ("mean", "p99"))
        lines.append(f"{label:28} {np.mean(shares):44.1%} {p99:12.3f} {mean:8.3f}")
    say(
        "in a long overload rare long requests start, thanks to γ_min",
        f"castillo {digest(records)}, kv-bound, {num} requests, load 1.3 before one in a hundred is made "
        "long "
        f"(prompt 1,000, output 1,900 to 2,048, known), seeds {seeds[:3]}; fixed-boost 0.005 /s is slower "
        "to age "
        "than γ_min (0.0015 /s at 10 ms is its value), sagesched never ages",
        "see rows",
        lines,
    )


def with_long_ones(trace: Trace, seed: int) -> Trace:
    """One request in a hundred asks for much and is known to; arrivals stand."""
    rng = np.random.default_rng([seed, 11])
    is_long = rng.random(len(trace.requests)) < 0.01
    return replace(
        trace,
        requests=tuple(
            _made_long(request, rng) if long else request
            for request, long in zip(trace.requests, is_long, strict=True)
        ),
    )


def _made_long(request: TraceRequest, rng: np.random.Generator) -> TraceRequest:
    output = int(rng.integers(1900, 2049))
    known = LengthDistribution.from_samples(rng.integers(1900, 2049, 9))
    return replace(request, prompt_tokens=1000, output_tokens=output, known=known, dataset="long")


def _long_ones(runs: Runs, trace: Trace, one: Contender) -> tuple[float, Kept]:
    run = replay(
        trace, profile("kv-bound"), ReplaySettings(policy=one.settings), told(one.settings.name, OtherAnswers)
    )
    long = [served for served in run.served if served.request.dataset == "long"]
    begun = [served for served in long if served.started_at is not None and served.started_at <= trace.span_s]
    return len(begun) / max(len(long), 1), kept_of(run)


CASES = {"headline": headline, "loads": loads, "engines": engines, "rule": rule, "overload": overload}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, requests=2000)
    parser.add_argument("--case", action="append", choices=list(CASES), help="repeatable; default: all")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.7, 0.9, 1.05, 1.2, 1.3])
    parser.add_argument("--picture", type=Path, help="where `headline` draws its frontier, as SVG")
    options = parser.parse_args()
    runs = Runs(options.kept)
    for case in options.case or CASES:
        CASES[case](options, runs, seeds_of(options.seeds))


if __name__ == "__main__":
    main()
