"""Real prompts, real Triton: what each order gains on CASTILLO, with the gateway's own predictor.

    python bench/live_castillo.py --seeds 0 1 2

For each seed 800 CASTILLO prompts go to a real tritonserver with the emulated `kv-bound` engine inside,
directly and through the gateway, at load 1.3. Each gateway's predictor starts with one recorded answer to
each of the other prompts; it never gets the true distribution. Measured are prompts that the shipped encoder
was not trained on (its held-out fold, and the sets left out for their licence). Prints a table per seed and
the ratios to `direct` over all seeds. Everything is written below --out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from castillo import DEFAULT_MODEL, castillo_records, default_data_folder, read_castillo
from unseen import is_unseen

from sagesched_emulator.dataset import DatasetError, write_dataset
from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.options import Options
from sagesched_emulator.demo.runner import Measured
from sagesched_emulator.demo.story import run_demo
from sagesched_emulator.demo.trial import DIRECT, Trial
from sagesched_emulator.figures import ratio
from sagesched_gateway.scheduling.policies.registry import POLICIES


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    ratios: dict[int, list[tuple[str, float, float]]] = {}
    try:
        with tempfile.TemporaryDirectory() as scratch:  # prompt texts keep their sources' terms
            dataset = Path(scratch) / "castillo.jsonl"
            rows = read_castillo(arguments.data, arguments.model)
            write_dataset(dataset, castillo_records(rows, arguments.model, seed=0))
            for seed in arguments.seeds:
                measured = run_demo(_options(arguments, dataset, seed)).measured
                ratios[seed] = [_ratios(trial, measured) for trial in measured.trials if trial.name != DIRECT]
    except (DatasetError, DemoError) as error:
        print(f"live_castillo: {error}", file=sys.stderr)
        return 1
    _print_ratios(ratios)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--requests", type=int, default=800, help="default: %(default)s")
    parser.add_argument("--rho", type=float, default=1.3, help="default: %(default)s")
    parser.add_argument(
        "--warm", type=int, default=2000, help="other prompts seen before, at most (default: %(default)s)"
    )
    parser.add_argument("--profile", default="kv-bound", help="default: %(default)s")
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=sorted(POLICIES),
        default=["fcfs", "sagesched", "gittins-boost"],
        help="default: %(default)s",
    )
    parser.add_argument("--time-scale", type=float, help="default: one that this machine keeps up with")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="whose answers (default: %(default)s)")
    parser.add_argument(
        "--data", type=Path, default=default_data_folder(), help="folder that holds castillo/"
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench/live_castillo"))
    return parser


def _options(arguments: argparse.Namespace, dataset: Path, seed: int) -> Options:
    base = Options(
        dataset=dataset,
        num_requests=arguments.requests,
        rho=arguments.rho,
        num_warm=arguments.warm,
        profile=arguments.profile,
        time_scale=arguments.time_scale,
        policies=tuple(arguments.policies),
    )
    return replace(base, seed=seed, prefer=is_unseen, out=arguments.out / f"seed-{seed}")


def _ratios(trial: Trial, measured: Measured) -> tuple[str, float, float]:
    direct = measured.trials[0].figures
    return (
        trial.name,
        ratio(trial.figures.mean_ttlt_s, direct.mean_ttlt_s),
        ratio(trial.figures.p99_ttlt_s, direct.p99_ttlt_s),
    )


def _print_ratios(ratios: dict[int, list[tuple[str, float, float]]]) -> None:
    """Mean and p99 of TTLT over `direct`, a column per seed and their mean."""
    print("\nTTLT to direct: mean (p99)")
    print(f"{'':<15}" + "".join(f"{f'seed {seed}':>16}" for seed in ratios) + f"{'mean':>16}")
    for row in zip(*ratios.values(), strict=True):
        cells = [(mean, tail) for _, mean, tail in row]
        cells.append((float(np.mean([c[0] for c in cells])), float(np.mean([c[1] for c in cells]))))
        print(f"{row[0][0]:<15}" + "".join(f"{f'{mean:.3f} ({tail:.2f})':>16}" for mean, tail in cells))


if __name__ == "__main__":
    sys.exit(main())
