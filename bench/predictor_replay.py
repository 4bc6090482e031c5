"""What prediction buys, in virtual time, on prompts that nothing was trained on (CASTILLO).

    python bench/predictor_replay.py --jobs 2
    python bench/predictor_replay.py --adapt 2000 --frozen --models google--gemma-3-4b-it

The replayed prompts are those of folds 0 and 1 (`training/held_out.py`); the prior is fitted without them,
and without Alpaca's and ShareGPT's. `--adapt` other prompts, one answer each, drawn by the seed, are observed
first. While the replay runs the predictor goes on learning from answers as they finish, as a gateway's does;
with `--frozen` it does not, so that a prompt that comes twice is as new as the first time. All policies of a
seed get the same trace: ratios are taken within a seed, the interval (Student's t) is over seeds. `wspt` is
shortest prompt first and predicts nothing. `--told` adds what no predictor can be much better than: mean cost
first where the nine other recorded answers to each prompt are known.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from castillo import DEFAULT_MODEL, castillo_records, default_data_folder, read_castillo
from fold_predictor import Bench, predictor_of
from replay_frontier import interval, table

from sagesched_emulator.dataset import Record
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import TraceRequest, draw_trace
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.training.fitting import Fitted
from sagesched_predictor.training.held_out import fold_of
from sagesched_predictor.training.network import FloatMatrix
from sagesched_replay.adaptation import set_apart
from sagesched_replay.knowledge import Ignorance, Knowledge, Learned, OtherAnswers, observe_records
from sagesched_replay.replay import BLIND, ReplaySettings, replay
from sagesched_replay.report import RunFigures, run_figures

REPLAYED_FOLDS = (0, 1)
POLICIES = ("fcfs", "wspt", "ssjf", "sagesched", "mean-service", "gittins-boost")
TOLD = "answers told"


class Frozen(Learned):
    """Learns nothing more, so that one serves all policies of a seed and says the same of the same prompt."""

    def __init__(self, predictor: Predictor, model: str) -> None:
        super().__init__(predictor, model)
        self._pool = super().pool()  # news only once, and each policy is to hear it
        self._said: dict[tuple[str, int, int], LengthDistribution | None] = {}

    def pool(self) -> LengthDistribution | None:
        """The lengths of what was observed."""
        return self._pool

    def predict(self, request: TraceRequest) -> LengthDistribution | None:
        """Asked once for each prompt."""
        key = (request.prompt, request.prompt_tokens, request.max_tokens)
        if key not in self._said:
            self._said[key] = super().predict(request)
        return self._said[key]

    def observe(self, request: TraceRequest) -> LengthDistribution | None:
        """Nothing."""
        return None


def one_seed(
    options: argparse.Namespace,
    model: str,
    records: Sequence[Record],
    fitted: Fitted,
    pooled: dict[str, FloatMatrix],
    seed: int,
) -> list[RunFigures]:
    replayed = [record for record in records if fold_of(record.prompt) in REPLAYED_FOLDS]
    others = [record for record in records if fold_of(record.prompt) not in REPLAYED_FOLDS]
    observed = set_apart(others, options.adapt, seed)[1]
    engine = profile(options.engine)
    trace = draw_trace(
        replayed, profile=engine, rho=options.rho, num_requests=options.requests, seed=seed, repeats=True
    )

    def adapted() -> Knowledge:
        predictor = predictor_of(fitted, pooled)
        observe_records(predictor, observed, seed=seed, model=model)
        return (Frozen if options.frozen else Learned)(predictor, model)

    frozen = adapted() if options.frozen else None
    runs = []
    for name in options.policy or POLICIES:
        knowledge = Ignorance() if name in BLIND else frozen or adapted()
        settings = ReplaySettings(policy=PolicySettings(name=name))
        runs.append(run_figures(replay(trace, engine, settings, knowledge)))
    if options.told:
        settings = ReplaySettings(policy=PolicySettings(name="mean-cost"))
        runs.append(replace(run_figures(replay(trace, engine, settings, OtherAnswers())), policy=TOLD))
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="the data pack")
    parser.add_argument("--models", nargs="+", default=[DEFAULT_MODEL])
    parser.add_argument("--engine", default="kv-bound")
    parser.add_argument("--rho", type=float, default=1.05)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--adapt", type=int, default=1500, metavar="N", help="prompts observed before")
    parser.add_argument("--frozen", action="store_true", help="learn nothing while it runs")
    parser.add_argument("--told", action="store_true", help="also with other answers known")
    parser.add_argument("--policy", action="append", help=f"repeatable; default: {' '.join(POLICIES)}")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time")
    options = parser.parse_args()
    records = {
        model: castillo_records(read_castillo(options.data, model), model, seed=0) for model in options.models
    }
    bench = Bench.make(options.data, [r.prompt for of_model in records.values() for r in of_model], threads=2)
    fitted = bench.fit(*REPLAYED_FOLDS)
    # Not forked: this process has JAX's threads.
    with get_context("spawn").Pool(options.jobs) as pool:
        for model, of_model in records.items():
            began_at, results = time.perf_counter(), []
            one = partial(one_seed, options, model, of_model, fitted, bench.pooled)
            for seed, runs in enumerate(pool.imap(one, range(options.seeds))):
                results.append(runs)
                found = ", ".join(f"{run.policy} {run.mean_ttlt_s:.2f} s" for run in runs)
                print(f"seed {seed}: {found}", flush=True)
            learning = ", nothing learned after" if options.frozen else ""
            print(
                f"{model}, {options.requests} requests on {options.engine}, rho {options.rho}, "
                f"{options.adapt} prompts observed before{learning}, {options.seeds} seeds, "
                f"{time.perf_counter() - began_at:.0f} s"
            )
            show(results)


def show(results: Sequence[Sequence[RunFigures]]) -> None:
    """The table, and the policies of interest in pairs."""
    print(table(results, "fcfs"))
    names = [run.policy for run in results[0]]
    mean_ttlt_s = np.array([[run.mean_ttlt_s for run in runs] for runs in results])
    ratios = mean_ttlt_s / mean_ttlt_s[:, names.index("fcfs"), None]
    for better in ("sagesched", "mean-cost", "mean-service", "gittins-boost", TOLD):
        for other in ("ssjf", "wspt"):
            if {better, other} <= set(names):
                gap = ratios[:, names.index(better)] - ratios[:, names.index(other)]
                print(f"{better} - {other}, paired: {interval(gap.tolist())}", flush=True)


if __name__ == "__main__":
    main()
