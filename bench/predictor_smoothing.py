"""How far one answer speaks for prompts like it: what other ridges and widths would be worth.

    python bench/predictor_smoothing.py
    python bench/predictor_smoothing.py --adapt 300 --seed 1

CASTILLO's models other than the one that claims are made on, prompts of folds 0 and 1, the prior fitted
without them. Of each model `--adapt` other prompts, one answer each, are observed with each pair of
constants: the online head's ridge, and the temperature of the neighbours' kernel. Printed, as means over the
models:

- tau, pinball gain and what the 90 % interval holds, as `sagesched-predictor evaluate` has them;
- gain again: of 300 of these prompts, when another answer to each of them has been observed too;
- gap: mean waits in a queue by the index of the predicted cost, minus those by prompt tokens, to first come,
  first served; then by model. The queue is a plain one, so that it takes milliseconds: one server, nothing
  preempted, work C = O^2/2 + I*O, 3,000 Poisson arrivals at load 1.05, mean of eight draws.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from castillo import LengthRow, default_data_folder, read_castillo
from fold_predictor import Bench, predictor_of
from predictor_quality import lines_of
from predictor_replay import REPLAYED_FOLDS

from sagesched_gateway.scheduling.cost import kv_token_steps
from sagesched_gateway.scheduling.gittins import gittins_index
from sagesched_predictor import online_head, series
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.evaluation import Actual, observe
from sagesched_predictor.kernel import KernelShape, kernel_weights
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.scores import score
from sagesched_predictor.training.fitting import Fitted
from sagesched_predictor.training.held_out import fold_of

MODELS = (
    "Qwen--Qwen2.5-32B-Instruct",
    "mistralai--Ministral-8B-Instruct-2410",
    "mistralai--Mistral-7B-Instruct-v0.3",
    "mistralai--Mixtral-8x7B-Instruct-v0.1",
)
PAIRS = ((0.5, 0.06), (2.0, 0.06), (0.5, 0.1), (2.0, 0.1))
NUM_AGAIN = 300
MAX_TOKENS = 2048
NUM_REQUESTS, LOAD, NUM_DRAWS = 3_000, 1.05, 8

FloatArray = npt.NDArray[np.float64]


def mean_wait(arrivals: FloatArray, work: FloatArray, keys: FloatArray) -> float:
    """Mean wait of one server that takes the smallest key of those that are there."""
    waiting: list[tuple[float, int]] = []
    now, next_one, total = 0.0, 0, 0.0
    for _ in range(len(work)):
        if not waiting:
            now = max(now, arrivals[next_one])
        while next_one < len(work) and arrivals[next_one] <= now:
            heapq.heappush(waiting, (keys[next_one], next_one))
            next_one += 1
        _, chosen = heapq.heappop(waiting)
        total += now - arrivals[chosen]
        now += work[chosen]
    return total / len(work)


def gap_to_prompt_tokens(prompt: FloatArray, index: FloatArray, answers: FloatArray) -> float:
    """Waits by the index minus waits by prompt tokens, to those of first come, first served.

    Args:
        prompt: tokens, (n,).
        index: of the predicted cost, (n,).
        answers: recorded lengths, (n, samples).
    """
    gaps = []
    for draw in range(NUM_DRAWS):
        rng = np.random.default_rng(draw)
        rows = rng.integers(len(prompt), size=NUM_REQUESTS)
        lengths = answers[rows, rng.integers(answers.shape[1], size=NUM_REQUESTS)]
        work = lengths * (lengths / 2 + prompt[rows])
        arrivals = np.cumsum(rng.exponential(size=NUM_REQUESTS))
        arrivals *= work.sum() / LOAD / arrivals[-1]
        fcfs, ours, theirs = (
            mean_wait(arrivals, work, keys) for keys in (arrivals, index[rows], prompt[rows])
        )
        gaps.append((ours - theirs) / fcfs)
    return float(np.mean(gaps))


def scores_of(
    predictor: Predictor, asked: Sequence[Actual]
) -> tuple[dict[str, Any], list[LengthDistribution]]:
    """Scores of what is predicted now, and the distributions."""
    said = [found.distribution for found in predictor.predict([line.example.features for line in asked])]
    known = [one for one in said if one is not None]
    assert len(known) == len(asked), "a predictor with a prior always has something to say"
    actual = np.array([float(min(line.tokens, MAX_TOKENS)) for line in asked])
    return score(known, actual, [np.zeros(0)] * len(asked)), known


def figures(predictor: Predictor, asked: Sequence[Actual]) -> tuple[float, ...]:
    """Tau, gain, coverage, gain of prompts that come again, gap."""
    found, said = scores_of(predictor, asked)
    prompt = np.array([float(line.example.features.prompt_tokens) for line in asked])
    index = np.array(
        [
            gittins_index(kv_token_steps(tokens, one.tokens), one.weights)
            for tokens, one in zip(prompt, said, strict=True)
        ]
    )
    answers = np.minimum([line.example.output_tokens for line in asked], MAX_TOKENS).astype(np.float64)
    gap = gap_to_prompt_tokens(prompt, index, answers)
    again = asked[:NUM_AGAIN]
    observe(predictor, [replace(line, tokens=line.others[0]) for line in again])
    known_once, _ = scores_of(predictor, again)
    return (
        found["kendall_tau"],
        found["pinball_gain"],
        found["coverage"]["0.9"],
        known_once["pinball_gain"],
        gap,
    )


def adapted(
    bench: Bench, fitted: Fitted, rows: Sequence[LengthRow], model: str, options: argparse.Namespace
) -> tuple[Predictor, list[Actual]]:
    """A predictor that has observed what it may, and the lines that are asked for."""
    lines = lines_of(rows, model, MAX_TOKENS, options.seed)
    asked, others = [], []
    for line in lines:
        is_asked = fold_of(line.example.features.prompt) in REPLAYED_FOLDS
        (asked if is_asked else others).append(line)
    order = np.random.default_rng(options.seed).permutation(len(others))[: options.adapt]
    predictor = predictor_of(fitted, bench.pooled)
    observe(predictor, [others[int(i)] for i in order])
    return predictor, asked


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="the data pack")
    parser.add_argument("--adapt", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0, help="of what is observed, and of what happened")
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    rows = {model: read_castillo(options.data, model) for model in options.models}
    bench = Bench.make(options.data, [row.prompt for some in rows.values() for row in some], threads=2)
    fitted = bench.fit(*REPLAYED_FOLDS)
    names = "".join(f"{name:>8s}" for name in ("ridge", "width", "tau", "gain", "90 %", "again", "gap"))
    print(f"{names}   by model")
    for ridge, width in PAIRS:
        kernel = partial(kernel_weights, shape=KernelShape(temperature=width))
        with patch.object(online_head, "RIDGE", ridge), patch.object(series, "kernel_weights", kernel):
            found = [figures(*adapted(bench, fitted, some, model, options)) for model, some in rows.items()]
        means = "".join(f"{value:8.4f}" for value in np.mean(found, axis=0))
        by_model = " ".join(f"{one[-1]:+.3f}" for one in found)
        print(f"{ridge:8g}{width:8g}{means}   {by_model}", flush=True)


if __name__ == "__main__":
    main()
