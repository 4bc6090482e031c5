"""What earlier answers to the very same prompt are worth (CASTILLO, the shipped predictor, decision 45).

    python bench/repeated_prompts.py
    python bench/repeated_prompts.py --requests 3000 --models google--gemma-3-4b-it

The prompts are those of the fold that the shipped predictor was not trained on; `--adapt` others are observed
first, one answer each. Then requests come that draw prompts and answers by chance, so that a prompt comes
again and again; each answer is learned from once `LATE` more requests have come. Printed, by how many
answers to the same prompt were known: Kendall's tau of the predicted mean with what came, the mean pinball
loss of the predicted quantiles of ln(output tokens), the share inside the central 90 % and its width; all
twice, with the product as it is, and with earlier answers counted as those of any similar prompt.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from castillo import DEFAULT_MODEL, castillo_records, default_data_folder, read_castillo
from embedded_prompts import LookUp, load_prompts, tau
from predictor_quality import OTHER_MODELS

from sagesched_emulator.dataset import Record
from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.prior import LEVELS
from sagesched_predictor.repeated import Earlier, Repeats
from sagesched_predictor.training.export import export_encoder
from sagesched_predictor.training.held_out import HELD_OUT_FOLD, fold_of
from sagesched_replay.adaptation import set_apart
from sagesched_replay.knowledge import observe_records

LATE = 50
MOST_KNOWN = 3
Floats = npt.NDArray[np.float64]
LOW, HIGH = LEVELS.index(0.05), LEVELS.index(0.95)


class Deaf(Repeats):
    """Takes no note of the same prompt."""

    def corrected(self, quantiles: Floats, earlier: Earlier) -> Floats:
        """As they were."""
        return quantiles


def predicted(predictor: Predictor, records: Sequence[Record], model: str, num: int, seed: int) -> Floats:
    """Known before, true length, predicted mean and quantiles of ln tokens at `LEVELS`, one row a request."""
    rng, known, waiting = np.random.default_rng(seed), Counter[str](), list[tuple[Record, int]]()
    rows = []
    for _ in range(num):
        record = records[int(rng.integers(len(records)))]
        length = int(record.output_samples[int(rng.integers(len(record.output_samples)))])
        (found,) = predictor.predict([_features(record, model)])
        distribution = found.distribution
        assert distribution is not None, "the shipped predictor always has something to say"
        middles = np.cumsum(distribution.weights) - distribution.weights / 2
        quantiles = np.interp(LEVELS, middles, np.log(distribution.tokens))
        rows.append([known[record.prompt], length, distribution.mean, *quantiles])
        waiting.append((record, length))
        if len(waiting) > LATE:
            record, length = waiting.pop(0)
            predictor.observe(_features(record, model), Outcome(output_tokens=length, censored=False))
            known[record.prompt] += 1
    return np.array(rows)


def _features(record: Record, model: str) -> PromptFeatures:
    return PromptFeatures(
        prompt=record.prompt, prompt_tokens=record.prompt_tokens or 0, max_tokens=0, model=model
    )


def show(name: str, rows: Floats) -> None:
    """A line for each number of answers known."""
    print(f"  {name}")
    for known in range(MOST_KNOWN + 1):
        chosen = rows[np.minimum(rows[:, 0], MOST_KNOWN) == known]
        true, mean, quantiles = np.log(chosen[:, 1]), chosen[:, 2], chosen[:, 3:]
        off = true[:, None] - quantiles
        pinball = np.maximum(np.array(LEVELS) * off, (np.array(LEVELS) - 1) * off).mean()
        inside = (quantiles[:, LOW] <= true) & (true <= quantiles[:, HIGH])
        print(
            f"    {known}{' or more' if known == MOST_KNOWN else '':8s} known {len(chosen):6d} requests   "
            f"tau {tau(mean, chosen[:, 1]):.3f}   pinball {pinball:.4f}   90 % holds {inside.mean():.3f}   "
            f"width {(quantiles[:, HIGH] - quantiles[:, LOW]).mean():.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="the data pack")
    parser.add_argument("--models", nargs="+", default=[DEFAULT_MODEL, *OTHER_MODELS])
    parser.add_argument("--adapt", type=int, default=1500, metavar="N", help="prompts observed before")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = export_encoder()
    artifact = EncoderArtifact.load(folder)
    prior = load_prior(artifact)
    for model in options.models:
        records = castillo_records(read_castillo(options.data, model), model, seed=0)
        prompts = load_prompts(options.data, model, folder, 1)
        asked = [record for record in records if fold_of(record.prompt) == HELD_OUT_FOLD]
        others = [record for record in records if fold_of(record.prompt) != HELD_OUT_FOLD]
        observed = set_apart(others, options.adapt, options.seed)[1]
        print(f"\n{model}: {len(asked)} prompts, {len(observed)} others observed before")
        for name, kind in (("similar prompts only", Deaf), ("same prompts too", Repeats)):
            with patch("sagesched_predictor.series.Repeats", kind):
                embedder = LookUp(prompts.texts, prompts.embeddings)
                predictor = Predictor(embedder, History(artifact.dimension), prior)
                observe_records(predictor, observed, seed=options.seed, model=model)
                show(name, predicted(predictor, asked, model, options.requests, options.seed))


if __name__ == "__main__":
    main()
