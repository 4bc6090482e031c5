"""What order wins, in virtual time: ratios to `fcfs` over many seeds, each with a paired 95 % interval.

    python bench/castillo.py --seed 0 --out castillo.jsonl
    python bench/replay_frontier.py --data castillo.jsonl --rho 1.05 --requests 3000 --seeds 0-9
    python bench/replay_frontier.py --data castillo.jsonl --distribution predictor --adapt 1500

A seed decides lines, true lengths and arrivals; all policies of a seed get the same trace, so a ratio is
taken within a seed and the interval (Student's t) is over seeds. With `--adapt N` the predictor has
seen N prompts that are then not measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from scipy import stats

from sagesched_emulator.dataset import Record, read_dataset
from sagesched_emulator.profiles import EngineProfile, profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_emulator.workload import generate
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor.errors import PredictorError
from sagesched_replay.adaptation import set_apart
from sagesched_replay.by_prompt_tokens import ByPromptTokens
from sagesched_replay.knowledge import (
    KINDS,
    Ignorance,
    Knowledge,
    OtherAnswers,
    learned,
    model_of,
    open_artifact,
)
from sagesched_replay.replay import ReplaySettings, replay
from sagesched_replay.report import RunFigures, run_figures
from sagesched_replay.told import told

NUM_GENERATED = 5000


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        profile(arguments.engine)
        seeds = _seeds(arguments.seeds)
        records = read_dataset(arguments.data) if arguments.data else generate(NUM_GENERATED, 0)
        began_at = time.perf_counter()
        results = _all_seeds(arguments, records, seeds)
    except (ValueError, OSError, PredictorError) as error:
        print(f"replay_frontier: {error}", file=sys.stderr)
        return 2
    digest = hashlib.sha256(repr(records).encode()).hexdigest()[:12]
    print(
        f"{arguments.requests} requests on {arguments.engine}, rho {arguments.rho}, distribution "
        f"{arguments.distribution}, seeds {arguments.seeds}, data {digest}, "
        f"tail weight {arguments.tail_weight}, {platform.machine()}, {time.perf_counter() - began_at:.0f} s"
    )
    print(table(results, arguments.base))
    if arguments.json:
        rows = [
            {"seed": seed, "runs": [run.as_json() for run in runs]}
            for seed, runs in zip(seeds, results, strict=True)
        ]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="dataset file; without it prompts are generated")
    parser.add_argument("--engine", default="kv-bound", help="engine profile (default: %(default)s)")
    parser.add_argument("--rho", type=float, default=1.05, help="load (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=3000, help="per seed (default: %(default)s)")
    parser.add_argument("--seeds", default="0-9", help="A-B or a single one (default: %(default)s)")
    parser.add_argument(
        "--policy", action="append", help="repeat for several; default: fcfs ssjf sagesched gittins-boost"
    )
    parser.add_argument("--base", default="fcfs", help="what ratios are to (default: %(default)s)")
    parser.add_argument(
        "--distribution", choices=KINDS, default="true", help="what policies know (default: %(default)s)"
    )
    parser.add_argument(
        "--tail-weight", type=float, default=1.0, help="of gittins-boost (default: %(default)s)"
    )
    parser.add_argument(
        "--adapt", type=int, default=0, metavar="N", help="prompts that the predictor observes first"
    )
    parser.add_argument("--artifact", type=Path, help="predictor to use (default: the shipped one)")
    parser.add_argument(
        "--stream-interval", type=int, default=16, help="stream each K-th token (default: %(default)s)"
    )
    parser.add_argument(
        "--kv-headroom", type=float, help="iterations of growth kept free (default: the core's)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures of all seeds here")
    return parser


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise ValueError(f"--seeds must look like 0-9 or 3, got {text!r}")
    return list(range(int(first), int(last or first) + 1))


def _all_seeds(
    arguments: argparse.Namespace, records: Sequence[Record], seeds: Sequence[int]
) -> list[list[RunFigures]]:
    policies = list(
        dict.fromkeys([arguments.base, *(arguments.policy or ["ssjf", "sagesched", "gittins-boost"])])
    )
    one = partial(_one_seed, arguments, records, policies)
    if arguments.jobs > 1 and len(seeds) > 1:
        with Pool(arguments.jobs) as pool:
            return pool.map(one, seeds, chunksize=1)
    return [one(seed) for seed in seeds]


def _one_seed(
    arguments: argparse.Namespace, records: Sequence[Record], policies: Sequence[str], seed: int
) -> list[RunFigures]:
    engine = profile(arguments.engine)
    measured, warm = set_apart(records, arguments.adapt, seed)
    trace = draw_trace(
        measured,
        profile=engine,
        rho=arguments.rho,
        num_requests=arguments.requests,
        seed=seed,
        repeats=not arguments.adapt,
    )
    make_knowledge = _knowledge(arguments, trace, warm, seed)
    return [_one_run(arguments, trace, engine, policy, make_knowledge) for policy in policies]


def _one_run(
    arguments: argparse.Namespace,
    trace: Trace,
    engine: EngineProfile,
    policy: str,
    make_knowledge: Callable[[], Knowledge],
) -> RunFigures:
    settings = PolicySettings(name=policy, tail_weight=arguments.tail_weight)
    gateway = ReplaySettings(
        policy=settings,
        stream_interval=arguments.stream_interval,
        kv_headroom_iterations=arguments.kv_headroom,
    )
    return run_figures(replay(trace, engine, gateway, told(policy, make_knowledge)))


def _knowledge(
    arguments: argparse.Namespace, trace: Trace, warm: Sequence[Record], seed: int
) -> Callable[[], Knowledge]:
    if arguments.distribution == "none":
        return Ignorance
    if arguments.distribution == "true":
        return OtherAnswers
    if arguments.distribution == "by-prompt-tokens":
        return ByPromptTokens
    artifact = _artifact(arguments.artifact)
    artifact.embeddings.prepare(
        [r.prompt for r in warm] + [r.prompt for r in trace.requests], lambda num: None
    )
    model = model_of([*warm, *trace.requests])
    return lambda: learned(artifact, warm, seed=seed, model=model)


_artifact = cache(open_artifact)  # seeds share prompts, and the encoder is the slow part


def table(results: Sequence[Sequence[RunFigures]], base: str) -> str:
    title = f"{'policy':14} {'mean TTLT / ' + base:>24} {'p99 TTLT / ' + base:>24}"
    lines = [f"{title} {'mean s':>8} {'evicted':>8} {'batch':>6} {'KV':>6} {'engine wait p99':>16}"]
    bases = [runs[0] for runs in results]
    for runs in zip(*results, strict=True):
        mean = interval([a.mean_ttlt_s / b.mean_ttlt_s for a, b in zip(runs, bases, strict=True)])
        p99 = interval([a.p99_ttlt_s / b.p99_ttlt_s for a, b in zip(runs, bases, strict=True)])
        lines.append(
            f"{runs[0].policy:14} {mean:>24} {p99:>24} {_mean(run.mean_ttlt_s for run in runs):8.2f} "
            f"{_mean(run.evictions for run in runs):8.0f} {_mean(run.backlog_batch for run in runs):6.1f} "
            f"{_mean(run.backlog_kv for run in runs):6.1%} "
            f"{_mean(run.engine_wait_p99_iterations for run in runs):11.1f} iter."
        )
    return "\n".join(lines)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def interval(ratios: Sequence[float]) -> str:
    """Mean over seeds and its 95 % interval."""
    mean = float(np.mean(ratios))
    if len(ratios) < 2:
        return f"{mean:.3f}"
    half = float(stats.t.ppf(0.975, len(ratios) - 1) * np.std(ratios, ddof=1) / np.sqrt(len(ratios)))
    return f"{mean:.3f} ({mean - half:.3f} to {mean + half:.3f})"


if __name__ == "__main__":
    sys.exit(main())
