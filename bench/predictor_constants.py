"""How the constants of the predictor's kernel were chosen: its widths, then how the broad one joins in.

    python bench/predictor_constants.py

No prompt and no model of the reported figures takes part: everything that has an answer by `--reserved-model`
in CASTILLO is left out. What remains are three mixtures, each with several kinds of task, as a server would
see them: AlpacaEval, grade-school maths, code reasoning and commonsense (ZeroEval), CASTILLO's other prompts;
twice with different models, and once CASTILLO alone. Figures are Kendall's tau with a length that nobody saw;
see `embedded_prompts.py`, and crps. Widths were taken by the best mean of tau, broadening and prior by crps
where tau is as good as the same.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from castillo import DEFAULT_MODEL, LengthRow, default_data_folder, read_castillo
from embedded_prompts import Prompts, Split, cached_embeddings, crps, split_by_prompt, split_by_sample, tau

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.kernel import DEFAULT_SHAPE, KernelShape, kernel_weights
from sagesched_predictor.training.export import export_encoder

CASTILLO_MODEL = "mistralai--Mixtral-8x7B-Instruct-v0.1"
# Models by (AlpacaEval, ZeroEval), which name few models alike.
OTHER_MODELS = (
    ("FuseChat-Llama-3.2-3B-Instruct", "Meta-Llama-3-8B-Instruct"),
    ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
)
NUM_PER_TASK = 400
NUM_ASKED = 300
MAX_TOKENS = 2048

MakeSplit = Callable[[Prompts, np.random.Generator], Split]

TEMPERATURES = (0.04, 0.05, 0.06, 0.07, 0.085, 0.1, 0.12)
SPREADS = (0.2, 0.3, 0.5, 0.7, 1.0, 100.0)
BROADENINGS = (1.0, 1.5, 2.0, 3.0)
PRIORS = (1.0, 2.0, 4.0)


def castillo_rows(data: Path, reserved_model: str) -> list[LengthRow]:
    reserved = {row.prompt for row in read_castillo(data, reserved_model)}
    return [row for row in read_castillo(data, CASTILLO_MODEL) if row.prompt not in reserved]


def single_answers(data: Path, source: str, model: str) -> Iterator[LengthRow]:
    """AlpacaEval or ZeroEval: one answer per prompt, all counts in GPT-2 tokens."""
    with lzma.open(data / source / "prompts.jsonl.xz", "rt") as file:
        prompts = {(p.get("task", ""), p["prompt_id"]): p["prompt"] for p in map(json.loads, file)}
    counts: dict[str, int] = {}
    with lzma.open(data / source / "lengths.csv.xz", "rt") as file:
        for row in csv.DictReader(file):
            task = row.get("task") or ""
            prompt = prompts.get((task, row["prompt_id"]))
            if (
                row["model"] != model
                or prompt is None
                or counts.get(task, 0) == NUM_PER_TASK * (1 + (task == ""))
            ):
                continue
            counts[task] = counts.get(task, 0) + 1
            yield LengthRow(
                dataset=task or source,
                category="",
                prompt_id=row["prompt_id"],
                prompt=prompt,
                prompt_tokens=max(1, int(row["in_gpt2"])),
                output_samples=(max(1, int(row["out_gpt2"])),),
            )


def mixture(rows: Sequence[LengthRow], encoder_folder: Path, threads: int) -> Prompts:
    rows = list({row.prompt: row for row in rows}.values())
    texts = [row.prompt for row in rows]
    shortest = min(len(row.output_samples) for row in rows)
    return Prompts(
        texts,
        cached_embeddings(texts, encoder_folder, threads),
        np.array([row.prompt_tokens for row in rows]),
        np.array([row.output_samples[:shortest] for row in rows]),
    )


def scores(prompts: Prompts, split: Split, shapes: Sequence[KernelShape]) -> list[tuple[float, float]]:
    """Tau and crps share of each shape on one split."""
    known = split.seen_lengths < MAX_TOKENS
    seen, lengths = split.seen[known], split.seen_lengths[known]
    cosines = prompts.embeddings[split.asked] @ prompts.embeddings[seen].T
    tokens = prompts.prompt_tokens
    gaps = [np.log(tokens[seen] / tokens[number]) for number in split.asked]
    truth = np.minimum(split.truth, MAX_TOKENS).astype(np.float64)

    def score(shape: KernelShape) -> tuple[float, float]:
        ways = [
            LengthDistribution.from_samples(lengths, kernel_weights(row, gap, shape))
            for row, gap in zip(cosines, gaps, strict=True)
        ]
        distance = float(np.mean([crps(way, x) for way, x in zip(ways, truth, strict=True)]))
        return tau(np.array([way.mean for way in ways]), truth), distance / float(truth.mean())

    return [score(shape) for shape in shapes]


def mean_scores(
    sets: Sequence[Prompts], shapes: Sequence[KernelShape], num_splits: int, split: MakeSplit
) -> npt.NDArray[np.float64]:
    """Shape (sets, shapes, 2)."""
    return np.array(
        [
            np.mean(
                [scores(p, split(p, np.random.default_rng(seed)), shapes) for seed in range(num_splits)],
                axis=0,
            )
            for p in sets
        ]
    )


def new_prompts(prompts: Prompts, rng: np.random.Generator) -> Split:
    return split_by_prompt(prompts, rng, 1500, NUM_ASKED)


def repeated_prompts(prompts: Prompts, rng: np.random.Generator) -> Split:
    return split_by_sample(prompts, rng, 3, NUM_ASKED)


def choose_widths(sets: Sequence[Prompts], num_splits: int) -> None:
    shapes = [
        replace(DEFAULT_SHAPE, temperature=t, spread=s, broadening=1.0) for t in TEMPERATURES for s in SPREADS
    ]
    by_set = mean_scores(sets, shapes, num_splits, new_prompts)[:, :, 0]
    means = by_set.mean(axis=0)
    headings = "".join(f"{f'set {i + 1}':>8s}" for i in range(len(sets)))
    print(f"\none kernel, tau\n{'temperature':>12s}{'spread':>8s}{headings}{'mean':>8s}")
    for i in [*np.argsort(-means)[:10], *np.argsort(-means)[-2:]]:
        cells = "".join(f"{value:8.3f}" for value in (*by_set[:, i], means[i]))
        print(f"{shapes[i].temperature:12g}{shapes[i].spread:8g}{cells}")


def choose_blend(sets: Sequence[Prompts], num_splits: int) -> None:
    shapes = [replace(DEFAULT_SHAPE, broadening=b, prior=p) for b in BROADENINGS for p in PRIORS]
    new = mean_scores(sets, shapes, num_splits, new_prompts).mean(axis=0)
    # Only the last set has more than one answer to a prompt.
    repeated = mean_scores(sets[-1:], shapes, num_splits, repeated_prompts).mean(axis=0)
    print(f"\ntwo kernels\n{'':18s}{'new prompts':>16s}{'repeated':>16s}")
    print(f"{'broadening':>11s}{'prior':>7s}" + f"{'tau':>8s}{'crps':>8s}" * 2)
    for shape, a, b in zip(shapes, new, repeated, strict=True):
        print(f"{shape.broadening:11g}{shape.prior:7g}" + "".join(f"{value:8.3f}" for value in (*a, *b)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=default_data_folder(), help="folder that holds castillo/"
    )
    parser.add_argument("--reserved-model", default=DEFAULT_MODEL, help="keep its prompts out")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parsed = parser.parse_args(arguments)
    encoder_folder = export_encoder()
    castillo = castillo_rows(parsed.data, parsed.reserved_model)
    shuffled = [castillo[i] for i in np.random.default_rng(0).permutation(len(castillo))[:800]]
    groups = [
        [
            *single_answers(parsed.data, "alpaca_eval", alpaca_model),
            *single_answers(parsed.data, "zeroeval", zero_model),
            *shuffled,
        ]
        for alpaca_model, zero_model in OTHER_MODELS
    ]
    mixtures = [mixture(rows, encoder_folder, parsed.threads) for rows in (*groups, castillo)]
    print("prompts per set: " + ", ".join(str(len(prompts.texts)) for prompts in mixtures))
    choose_widths(mixtures, parsed.splits)
    choose_blend(mixtures, parsed.splits)


if __name__ == "__main__":
    main()
