"""How well lengths are predicted for prompts that nothing was trained on (CASTILLO).

    python bench/predictor_quality.py
    python bench/predictor_quality.py --model google--gemma-3-4b-it --parts main

Five splits by prompt, never by row: the fold of a prompt is decided by its text (`training/held_out.py`), and
split k asks for the prompts of fold k, all six sets. The prior is fitted for each split without them (and
never on Alpaca's and ShareGPT's, whose terms forbid it); N other prompts, with one answer each, shuffled by
seed, are observed before. What happened is one of the ten recorded answers, drawn by seed. Printed, as mean
and 95 % interval (t, five splits):

- tau: Kendall's tau-b of the predicted mean with what happened; "other answers" is the ceiling, the mean of
  the prompt's nine other answers; "tf-idf ridge" is the baseline with the same data (`tfidf_ridge.py`).
- gain: 1 - pinball loss / that of the unconditional distribution; cover: share inside the central 90 %.

Then the same by prompt set, for the shipped predictor itself on the fold that it never saw, for other models,
and for models whose every answer was kept from the prior.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from castillo import DEFAULT_MODEL, LengthRow, default_data_folder, read_castillo
from embedded_prompts import LookUp, cached_embeddings
from fold_predictor import Bench, predictor_of
from tfidf_ridge import TfIdfRidge

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.dataset import Example
from sagesched_predictor.evaluation import Actual, draw_actuals, evaluate
from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.scores import kendall_tau
from sagesched_predictor.training.export import export_encoder
from sagesched_predictor.training.fitting import Fitted
from sagesched_predictor.training.held_out import HELD_OUT_FOLD, NUM_FOLDS, fold_of

OBSERVED = (0, 300, 2000)
OTHER_MODELS = (
    "Qwen--Qwen2.5-7B-Instruct-1M",
    "google--gemma-3-4b-it",
    "mistralai--Ministral-8B-Instruct-2410",
    "mistralai--Mixtral-8x7B-Instruct-v0.1",
)
UNSEEN_MODELS = (
    "google--gemma-3-4b-it",
    "Qwen--Qwen2.5-7B-Instruct-1M",
    "mistralai--Ministral-8B-Instruct-2410",
)
UNSEEN_FOLDS = (0, 1)
PARTS = ("main", "shipped", "others", "unseen")
T_QUANTILE = 2.776  # of Student's t, 4 degrees of freedom, 97.5 %

Figures = dict[str, list[float]]


def lines_of(rows: Sequence[LengthRow], model: str, max_tokens: int, seed: int) -> list[Actual]:
    """What happened to each prompt, and its other answers."""
    examples = [
        Example(
            PromptFeatures(
                prompt=row.prompt, prompt_tokens=row.prompt_tokens, max_tokens=max_tokens, model=model
            ),
            row.output_samples,
            dataset=row.dataset,
        )
        for row in rows
    ]
    return draw_actuals(examples, seed)


def split(lines: Sequence[Actual], fold: int, num_observed: int) -> tuple[list[Actual], list[Actual]]:
    """Lines observed, in a shuffled order, and the lines of the fold, which are asked for."""
    folds = np.array([fold_of(line.example.features.prompt) for line in lines])
    others = np.random.default_rng(fold).permutation(np.flatnonzero(folds != fold))[:num_observed]
    return [lines[int(i)] for i in others], [lines[int(i)] for i in np.flatnonzero(folds == fold)]


def scored(
    bench: Bench, fitted: Fitted, lines: Sequence[Actual], fold: int, num_observed: int
) -> dict[str, Any]:
    """The figures of `sagesched-predictor evaluate` for one split."""
    seen, asked = split(lines, fold, num_observed)
    return evaluate(predictor_of(fitted, bench.pooled), [*seen, *asked], adapt=len(seen))


def baseline(ridge: TfIdfRidge, lines: Sequence[Actual], fold: int, num_observed: int) -> float:
    seen, asked = split(lines, fold, num_observed)
    return ridge.best_tau(
        [line.example.features.prompt for line in asked],
        np.array([float(_cut(line)) for line in asked]),
        [line.example.features.prompt for line in seen],
        [_cut(line) for line in seen],
    )


def _cut(line: Actual) -> int:
    return line.example.outcome(line.tokens).output_tokens


def add(figures: Figures, name: str, found: dict[str, Any]) -> None:
    figures[f"{name} tau"].append(found["kendall_tau"])
    figures[f"{name} gain"].append(found["pinball_gain"])
    figures[f"{name} cover"].append(found["coverage"]["0.9"])


def report(title: str, figures: Figures) -> None:
    print(f"\n{title}")
    for name, values in figures.items():
        half = (
            T_QUANTILE * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) == NUM_FOLDS else None
        )
        spread = f" ±{half:.3f}" if half is not None else ""
        print(
            f"  {name:48s}{np.mean(values):7.3f}{spread}  ({', '.join(f'{v:.3f}' for v in values)})",
            flush=True,
        )


def main_model(
    bench: Bench, fits: Sequence[Fitted], ridges: Sequence[TfIdfRidge], lines: Sequence[Actual], model: str
) -> None:
    figures: Figures = defaultdict(list)
    by_set: Figures = defaultdict(list)
    unknown = [replace_model(line, "served under a name of its own") for line in lines]
    for fold, (fitted, ridge) in enumerate(zip(fits, ridges, strict=True)):
        for num in OBSERVED:
            found = scored(bench, fitted, lines, fold, num)
            add(figures, f"{num} observed", found)
            figures[f"{num} observed, tf-idf ridge tau"].append(baseline(ridge, lines, fold, num))
            for name, group in found["by_dataset"].items():
                by_set[f"{name}, {num} observed, tau"].append(group["kendall_tau"])
            if num < OBSERVED[-1]:
                add(figures, f"{num} observed, name unknown", scored(bench, fitted, unknown, fold, num))
        figures["other answers tau"].append(found["kendall_ceiling"])
        asked = split(lines, fold, 0)[1]
        tokens = [line.example.features.prompt_tokens for line in asked]
        figures["prompt tokens tau"].append(kendall_tau(tokens, [_cut(line) for line in asked]))
    report(f"{model}, {len(lines)} prompts, by split", figures)
    report("the same by prompt set", dict(sorted(by_set.items())))


def shipped(lines: Sequence[Actual], model: str) -> None:
    """The artifact that users get, its networks in ONNX Runtime."""
    artifact = EncoderArtifact.load(export_encoder())
    texts = [line.example.features.prompt for line in lines]
    embedder = LookUp(texts, cached_embeddings(texts, artifact.folder, threads=1))
    figures: Figures = defaultdict(list)
    unknown = [replace_model(line, "served under a name of its own") for line in lines]
    for name, known in (("", lines), (", name unknown", unknown)):
        for num in OBSERVED:
            seen, asked = split(known, HELD_OUT_FOLD, num)
            predictor = Predictor(embedder, History(artifact.dimension), load_prior(artifact))
            add(figures, f"{num} observed{name}", evaluate(predictor, [*seen, *asked], adapt=num))
    report(f"the shipped predictor, {model}, fold {HELD_OUT_FOLD}", figures)


def replace_model(line: Actual, model: str) -> Actual:
    return replace(line, example=replace(line.example, features=replace(line.example.features, model=model)))


def other_models(
    bench: Bench, fits: Sequence[Fitted], ridges: Sequence[TfIdfRidge], by_model: dict[str, list[Actual]]
) -> None:
    for model, lines in by_model.items():
        figures: Figures = defaultdict(list)
        for fold, (fitted, ridge) in enumerate(zip(fits, ridges, strict=True)):
            for num in OBSERVED[:2]:
                add(figures, f"{num} observed", scored(bench, fitted, lines, fold, num))
                figures[f"{num} observed, tf-idf ridge tau"].append(baseline(ridge, lines, fold, num))
        report(f"{model}, {len(lines)} prompts", figures)


def unseen_models(bench: Bench, by_model: dict[str, list[Actual]]) -> None:
    figures: Figures = defaultdict(list)
    for fold in UNSEEN_FOLDS:
        with_all = bench.fit(fold)
        for model in UNSEEN_MODELS:
            without = bench.fit(fold, without_model=f"castillo/{model}")
            for name, fitted in (("seen by the prior", with_all), ("unseen", without)):
                add(figures, f"{name}, 300 observed", scored(bench, fitted, by_model[model], fold, 300))
    report(f"models kept from the prior: {', '.join(UNSEEN_MODELS)}; splits {UNSEEN_FOLDS}", figures)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=default_data_folder(), help="folder that holds castillo/"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--max-tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parsed = parser.parse_args(arguments)
    models = dict.fromkeys([parsed.model, *OTHER_MODELS, *UNSEEN_MODELS])
    rows = {model: read_castillo(parsed.data, model) for model in models}
    by_model = {model: lines_of(rows[model], model, parsed.max_tokens, seed=0) for model in models}
    bench = Bench.make(parsed.data, [row.prompt for found in rows.values() for row in found], parsed.threads)
    main_lines = by_model.pop(parsed.model)
    fits, ridges = [], []
    if {"main", "others"} & set(parsed.parts):
        fits = [bench.fit(fold) for fold in range(NUM_FOLDS)]
        ridges = [TfIdfRidge(bench.examples(fold)) for fold in range(NUM_FOLDS)]
    if "main" in parsed.parts:
        main_model(bench, fits, ridges, main_lines, parsed.model)
    if "shipped" in parsed.parts:
        shipped(main_lines, parsed.model)
    if "others" in parsed.parts:
        other_models(bench, fits, ridges, by_model)
    if "unseen" in parsed.parts:
        unseen_models(bench, {**by_model, parsed.model: main_lines})


if __name__ == "__main__":
    main()
