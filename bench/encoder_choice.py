"""Which encoder: frozen MiniLM, MiniLM trained end to end, or a small one of our own (decision 19).

    python bench/encoder_choice.py --minutes 9     # again and again until all is trained, then the table
    python bench/encoder_choice.py --cost          # size and latency alone

All are three transformer layers in int8, pooled alike, at most 128 tokens, with the product's trunk and head:

- frozen: MiniLM's layers as published; trunk and head are trained. This is what ships.
- tuned: the same, the layers trained along with the loss of the lengths; the table of words stays.
- own: 128 wide instead of 384, on MiniLM's word pieces, trained from nothing.

All are given the same prompts: the data pack without the fold that is asked for. Those trained end to end are
scored twice, with the trunk and head that were trained along, and with the product's own fit on the encoder
that came of it. Asked for are the prompts of that fold, five of CASTILLO's models, as in
`predictor_quality.py`, cold and after 300 answers to other prompts. Printed are means over models and folds;
in brackets what is gained on "frozen", with a 95 % interval over prompts (bootstrap, in pairs). What another
seed of training would change is not in it.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # before jax looks
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from castillo import default_data_folder
from encoder_variants import RECIPES, Bert, Data, Variant, end_to_end, frozen, untrained
from fold_predictor import predictor_of
from predictor_quality import split
from scipy.stats import kendalltau
from tuned_encoder import OutOfTimeError

from sagesched_predictor.evaluation import observe
from sagesched_predictor.runtime import start_session
from sagesched_predictor.scores import score
from sagesched_predictor.training.minilm_graph import BertShape
from sagesched_predictor.training.pooling import MAX_PROMPT_TOKENS
from sagesched_predictor.training.quantization import quantize
from sagesched_predictor.training.trunk_graph import build_trained_encoder, trunk_of

OBSERVED = (0, 300)
NUM_RESAMPLES = 500
ROUNDS = 300
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """What was predicted for one model and fold: prompts, means, what happened, and the figures."""

    prompts: list[str]
    means: Floats
    actual: Floats
    figures: dict[str, Any]


def answered(variant: Variant, data: Data, fold: int, observed: int) -> list[Answered]:
    """By model, after so many answers to prompts of other folds."""
    found = []
    for lines in data.lines.values():
        seen, asked = split(lines, fold, observed)
        prompts = [line.example.features.prompt for line in asked]
        needed = dict.fromkeys([*(line.example.features.prompt for line in seen), *prompts])
        predictor = predictor_of(
            variant.fitted, {prompt: variant.table[data.rows[prompt]] for prompt in needed}
        )
        observe(predictor, seen)
        made = [p.distribution for p in predictor.predict([line.example.features for line in asked])]
        distributions = [distribution for distribution in made if distribution is not None]
        actual = np.array([float(line.example.outcome(line.tokens).output_tokens) for line in asked])
        means = np.array([distribution.mean for distribution in distributions])
        figures = score(distributions, actual, [np.zeros(0)] * len(asked))
        found.append(Answered(prompts, means, actual, figures))
    return found


def gains(base: Sequence[Sequence[Answered]], other: Sequence[Sequence[Answered]]) -> Floats:
    """What mean tau `other` gains, a number for each time that prompts are drawn again."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(NUM_RESAMPLES):
        differences = []
        for models, others in zip(base, other, strict=True):
            prompts = list(dict.fromkeys(prompt for found in models for prompt in found.prompts))
            times = rng.multinomial(len(prompts), np.full(len(prompts), 1 / len(prompts)))
            count = dict(zip(prompts, times.tolist(), strict=True))
            for before, after in zip(models, others, strict=True):
                rows = np.repeat(np.arange(len(before.prompts)), [count[p] for p in before.prompts])
                first, second = (
                    float(kendalltau(found.means[rows], found.actual[rows]).statistic)
                    for found in (before, after)
                )
                differences.append(second - first)
        drawn.append(float(np.mean(differences)))
    return np.array(drawn)


def table(data: Data, variants: dict[int, list[Variant]]) -> None:
    """Print the figures of every variant, and what it gains on the first."""
    names = [variant.name for variant in next(iter(variants.values()))]
    for observed in OBSERVED:
        print(f"\n{observed} answers observed, folds {', '.join(map(str, variants))}", flush=True)
        print(f"  {'':26s}{'tau':>7s}{'gained':>8s}{'95 % interval':>18s}{'gain':>8s}{'90 % holds':>12s}")
        base: list[list[Answered]] = []
        for number, name in enumerate(names):
            found = [answered(made[number], data, fold, observed) for fold, made in variants.items()]
            base = base or found
            all_figures = [one.figures for models in found for one in models]
            tau = np.mean([figures["kendall_tau"] for figures in all_figures])
            gain = np.mean([figures["pinball_gain"] for figures in all_figures])
            held = np.mean([figures["coverage"]["0.9"] for figures in all_figures])
            against = ""
            if number:
                before = np.mean([one.figures["kendall_tau"] for models in base for one in models])
                low, high = np.percentile(gains(base, found), (2.5, 97.5))
                against = f"{tau - before:+8.3f}{f'({low:+.3f} to {high:+.3f})':>18s}"
            print(f"  {name:26s}{tau:7.3f}{against:26s}{gain:8.3f}{held:12.3f}", flush=True)
            by_model = [
                f"{np.mean([models[i].figures['kendall_tau'] for models in found]):.3f} {model}"
                for i, model in enumerate(data.lines)
            ]
            print(f"    tau by model: {', '.join(by_model)}", flush=True)


def cost() -> None:
    """Print what each encoder weighs and takes; neither depends on what it has learned."""
    print(
        f"\n{platform.machine()}, one prompt of {MAX_PROMPT_TOKENS} tokens, one thread, int8, no tokenizing"
    )
    ids = np.random.default_rng(0).integers(1_000, 20_000, (1, MAX_PROMPT_TOKENS))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for name in ("frozen", *RECIPES):
        bert = Bert.of(name)
        trunk = trunk_of(untrained(3 * BertShape.from_config(bert.config).hidden, ("",)))
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch) / "encoder.onnx"
            quantize(build_trained_encoder(bert.weights, bert.config, trunk), place)
            session = start_session(place, device="CPU", threads=1)
            taken = []
            for _ in range(ROUNDS):
                started_at = time.perf_counter()
                session.run(None, inputs)
                taken.append(1e3 * (time.perf_counter() - started_at))
            low, high = np.percentile(taken, (50, 99))
            print(f"  {name:8s}{place.stat().st_size / 1e6:7.1f} MB   p50 {low:.2f} ms   p99 {high:.2f} ms")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="holds castillo/ and others")
    parser.add_argument("--folds", type=int, nargs="+", default=[2], help="prompts asked for")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop training after these and say so"
    )
    parser.add_argument("--cost", action="store_true", help="size and latency alone")
    parsed = parser.parse_args(arguments)
    cost()
    if parsed.cost:
        return
    until = time.monotonic() + 60 * parsed.minutes
    data = Data.read(parsed.data)
    variants: dict[int, list[Variant]] = {}
    try:
        for fold in parsed.folds:
            variants[fold] = [frozen(data, fold)]
            for name in RECIPES:
                left = (until - time.monotonic()) / 60
                variants[fold] += end_to_end(data, fold, name, variants[fold][0].fitted, left)
    except OutOfTimeError:
        print("time is up; run it again to go on")
        return
    table(data, variants)


if __name__ == "__main__":
    main()
