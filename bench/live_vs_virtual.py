"""One trace, lived and replayed: an emulated engine in a real Triton against the same engine in virtual time.

    python bench/live_vs_virtual.py --policies fcfs sagesched

Live: a real tritonserver, a real gateway, a client, wall time. Virtual: the same scheduler and the same
engine model without any of these. Both get the same trace, predictors that start with the same history and go
on learning, and estimates of prompt tokens from characters, as a gateway without the model's tokenizer makes
them. What is left to differ: hops, and when gauges and predictions come. Prints mean and tail of TTLT of both
and their ratio; exit status 1 where a mean or a p99 differs by more than --tolerance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lived_and_replayed import Estimating, Ttlt, compared

from sagesched_emulator.dataset import DatasetError, read_dataset
from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.options import Options
from sagesched_emulator.demo.scenario import Scenario
from sagesched_emulator.demo.story import run_demo
from sagesched_emulator.demo.warmup import ANSWERED_FILE, find_encoder
from sagesched_emulator.figures import Figures
from sagesched_emulator.profiles import profile
from sagesched_gateway.scheduling.policies.registry import POLICIES
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.knowledge import learned, open_artifact
from sagesched_replay.replay import DIRECT, ReplaySettings, replay
from sagesched_replay.report import RunFigures, run_figures


def virtual_runs(scenario: Scenario, options: Options, names: Sequence[str]) -> list[RunFigures]:
    """Replay the scenario's trace, each run with a predictor that starts as the live ones did."""
    assert scenario.drawn is not None
    warm = read_dataset(scenario.plan.folder / ANSWERED_FILE)
    artifact = open_artifact(find_encoder())
    runs = []
    for name in names:
        settings = ReplaySettings(policy=PolicySettings(name=name), stream_interval=options.stream_interval)
        knowledge = learned(artifact, warm, seed=options.seed)
        capacity = profile(options.profile).capacity()
        front = partial(Estimating, capacity=capacity, settings=settings, knowledge=knowledge)
        make_front = None if name == DIRECT else front
        run = replay(scenario.drawn, profile(options.profile), settings, knowledge, make_front=make_front)
        runs.append(run_figures(run))
    return runs


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    options = Options(
        dataset=arguments.dataset,
        num_requests=arguments.requests,
        rho=arguments.rho,
        seed=arguments.seed,
        profile=arguments.profile,
        time_scale=arguments.time_scale,
        policies=tuple(arguments.policies),
        out=arguments.out,
    )
    try:
        told = run_demo(options)
        trials = told.measured.trials
        virtual = virtual_runs(told.scenario, options, [trial.name for trial in trials])
    except (DemoError, DatasetError) as error:
        print(f"live_vs_virtual: {error}", file=sys.stderr)
        return 1
    runs = {
        trial.name: (_figures(trial.figures), _figures(run))
        for trial, run in zip(trials, virtual, strict=True)
    }
    return compared("TTLT in engine s", runs, arguments.tolerance)


def _figures(run: Figures | RunFigures) -> Ttlt:
    return run.mean_ttlt_s, run.p99_ttlt_s


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, help="JSONL of prompts (default: generated ones)")
    parser.add_argument("--requests", type=int, default=450, help="default: %(default)s")
    parser.add_argument("--rho", type=float, default=1.4, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", default="kv-bound", help="default: %(default)s")
    parser.add_argument(
        "--policies", nargs="+", choices=sorted(POLICIES), default=["fcfs", "sagesched", "gittins-boost"]
    )
    parser.add_argument("--time-scale", type=float, help="default: one that this machine keeps up with")
    parser.add_argument("--tolerance", type=float, default=0.07, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("build/bench/live_vs_virtual"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
