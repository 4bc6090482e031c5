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
from dataclasses import replace
from functools import partial
from pathlib import Path

from sagesched_emulator.dataset import DatasetError, read_dataset
from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.options import Options
from sagesched_emulator.demo.scenario import Scenario
from sagesched_emulator.demo.story import run_demo
from sagesched_emulator.demo.warmup import ANSWERED_FILE, find_encoder
from sagesched_emulator.figures import ratio
from sagesched_emulator.iteration import Emission
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import TraceRequest
from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.policies.registry import POLICIES
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.fronts import Gateway
from sagesched_replay.knowledge import Knowledge, learned, open_artifact
from sagesched_replay.replay import DIRECT, Replay, ReplaySettings, replay
from sagesched_replay.report import RunFigures, run_figures


class Estimating(Gateway):
    """A gateway without the model's tokenizer: characters per token, learned from the engine's own counts."""

    def __init__(
        self, world: Replay, capacity: EngineCapacity, settings: ReplaySettings, knowledge: Knowledge
    ) -> None:
        super().__init__(world, capacity, settings, knowledge)
        self._served = world.served
        self._counter = TokenCounter()

    def arrive(self, request: TraceRequest) -> None:
        """Tell the scheduler what it would be told."""
        super().arrive(replace(request, prompt_tokens=self._counter.count_prompt(request.prompt)))

    def tokens(self, emissions: Sequence[Emission]) -> None:
        """Answers bring the engine's count of their prompts."""
        for emission in emissions:
            if emission.first:
                request = self._served[emission.request_id].request
                self._counter.learn(request.prompt, request.prompt_tokens)
        super().tokens(emissions)


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
    print(f"\n{'TTLT in engine s':<17}{'live mean':>10}{'virtual':>9}{'ratio':>7}", end="")
    print(f"{'live p99':>11}{'virtual':>9}{'ratio':>7}")
    apart = 0.0
    for trial, run in zip(trials, virtual, strict=True):
        lived = trial.figures
        mean, tail = ratio(lived.mean_ttlt_s, run.mean_ttlt_s), ratio(lived.p99_ttlt_s, run.p99_ttlt_s)
        apart = max(apart, abs(mean - 1), abs(tail - 1))
        print(
            f"{trial.name:<17}{lived.mean_ttlt_s:>10.2f}{run.mean_ttlt_s:>9.2f}{mean:>7.3f}"
            f"{lived.p99_ttlt_s:>11.2f}{run.p99_ttlt_s:>9.2f}{tail:>7.3f}"
        )
    print(f"largest difference: {apart:.1%} (allowed {arguments.tolerance:.0%})")
    return 0 if apart <= arguments.tolerance else 1


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
