"""How well the predictor orders prompts that it has not seen, on real prompts and lengths (CASTILLO).

    python bench/predictor_quality.py
    python bench/predictor_quality.py --splits 4 --history 500 --model google--gemma-3-4b-it

Each split warms a history on `--history` prompts, with one recorded length each, as a gateway would have seen
them, and asks for others. Printed, as mean and standard deviation over splits:

- tau: Kendall's tau-b of the predicted mean with one recorded length that nobody saw; what order is worth.
  "other samples" is the ceiling: the mean of the prompt's nine other lengths.
- cost tau: the same for C = O^2/2 + I*O, the key of the sagesched policy.
- crps: mean continuous ranked probability score as a share of the mean length; smaller is better, and unlike
  tau it also punishes a wrong scale or width.

A second table is about traffic that repeats: the history holds about `--repeats` other answers to each
prompt.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from castillo import DEFAULT_MODEL, default_data_folder, read_castillo
from scipy.stats import kendalltau

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History, Neighbourhood
from sagesched_predictor.kernel import kernel_weights
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.training.export import cache_root, export_encoder

FloatArray = npt.NDArray[np.float64]
Predictions = dict[str, list[LengthDistribution]]


@dataclass(frozen=True)
class Prompts:
    """Prompts of one model, with unit vectors (n, 384), prompt tokens (n,) and recorded lengths (n, 10)."""

    texts: list[str]
    embeddings: npt.NDArray[np.float32]
    prompt_tokens: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """What was seen: prompt numbers, a length each; what is asked: prompt numbers, the truth for each."""

    seen: npt.NDArray[np.int64]
    seen_lengths: npt.NDArray[np.int64]
    asked: npt.NDArray[np.int64]
    truth: npt.NDArray[np.int64]


class LookUp:
    """Stands in for the encoder: every prompt was embedded once, beforehand."""

    def __init__(self, prompts: Prompts) -> None:
        self._vectors = dict(zip(prompts.texts, prompts.embeddings, strict=True))

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors of known texts."""
        return np.stack([self._vectors[text] for text in texts])


def load_prompts(data: Path, model: str, encoder_folder: Path, threads: int) -> Prompts:
    rows = read_castillo(data, model)
    texts = [row.prompt for row in rows]
    return Prompts(
        texts,
        cached_embeddings(texts, encoder_folder, threads),
        np.array([row.prompt_tokens for row in rows]),
        np.array([row.output_samples for row in rows]),
    )


def cached_embeddings(texts: list[str], encoder_folder: Path, threads: int) -> npt.NDArray[np.float32]:
    artifact = EncoderArtifact.load(encoder_folder)
    digest = hashlib.sha256("\0".join([artifact.fingerprint, *texts]).encode()).hexdigest()[:24]
    path = cache_root() / "bench" / f"embeddings-{digest}.npy"
    if not path.is_file():
        encoder = Encoder(artifact, EncoderOptions(threads=threads))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, encoder.embed(texts))
    return np.load(path)  # type: ignore[no-any-return]


def split_by_prompt(prompts: Prompts, rng: np.random.Generator, num_seen: int, num_asked: int) -> Split:
    """Prompts that were seen once, and others that are asked for."""
    order = rng.permutation(len(prompts.texts))
    seen, asked = order[:num_seen], order[num_seen : num_seen + num_asked]
    return Split(seen, _drawn(prompts, seen, rng), asked, _drawn(prompts, asked, rng))


def split_by_sample(prompts: Prompts, rng: np.random.Generator, repeats: int, num_asked: int) -> Split:
    """Prompts that come again; the length that is asked for was not among those seen."""
    asked = rng.permutation(len(prompts.texts))[:num_asked]
    seen = rng.choice(asked, size=repeats * num_asked)
    lengths = prompts.samples[seen, rng.integers(1, prompts.samples.shape[1], size=seen.size)]
    return Split(seen, lengths, asked, prompts.samples[asked, 0])


def _drawn(
    prompts: Prompts, numbers: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    return prompts.samples[numbers, rng.integers(prompts.samples.shape[1], size=numbers.size)]


def predictions(prompts: Prompts, split: Split, max_tokens: int, min_similarity: float) -> Predictions:
    """Every way of predicting, for every prompt asked."""
    history = History(prompts.embeddings.shape[1], min_similarity=min_similarity)
    predictor = Predictor(LookUp(prompts), history)

    def features(number: int) -> PromptFeatures:
        return PromptFeatures(
            prompt=prompts.texts[number],
            prompt_tokens=int(prompts.prompt_tokens[number]),
            max_tokens=max_tokens,
        )

    for number, length in zip(split.seen, split.seen_lengths, strict=True):
        cut = bool(length >= max_tokens)
        predictor.observe(features(number), Outcome(output_tokens=min(int(length), max_tokens), censored=cut))
    found = history.search("", prompts.embeddings[split.asked])
    gaps = [
        np.log(f.prompt_tokens / prompts.prompt_tokens[n]) for f, n in zip(found, split.asked, strict=True)
    ]
    pool = LengthDistribution.from_samples(found[0].output_tokens)
    return {
        "pool-wide": [pool] * len(found),
        f"threshold {min_similarity:g} only": [_threshold(f, pool) for f in found],
        "kernel only": [_kernel(f, gap) for f, gap in zip(found, gaps, strict=True)],
        "predictor": [_known(p.distribution) for p in predictor.predict([features(n) for n in split.asked])],
    }


def _threshold(found: Neighbourhood, pool: LengthDistribution) -> LengthDistribution:
    return LengthDistribution.from_samples(found.output_tokens[found.near]) if found.near.any() else pool


def _kernel(found: Neighbourhood, gap: FloatArray) -> LengthDistribution:
    return LengthDistribution.from_samples(found.output_tokens, kernel_weights(found.similarities, gap))


def _known(distribution: LengthDistribution | None) -> LengthDistribution:
    if distribution is None:
        raise SystemExit("predictor_quality: the history is too small; raise --history")
    return distribution


def scores(prompts: Prompts, split: Split, max_tokens: int, min_similarity: float) -> dict[str, list[float]]:
    """Tau, cost tau and crps share by way of predicting; NaN where a figure makes no sense."""
    truth = np.minimum(split.truth, max_tokens).astype(np.float64)
    prompt_tokens = prompts.prompt_tokens[split.asked].astype(np.float64)
    samples = np.minimum(prompts.samples[split.asked], max_tokens).astype(np.float64)
    others = (samples.sum(axis=1) - truth) / (samples.shape[1] - 1)
    cost = truth**2 / 2 + prompt_tokens * truth
    table = {
        "prompt tokens": [tau(prompt_tokens, truth), tau(prompt_tokens, cost), np.nan],
        "other samples": [tau(others, truth), tau(others**2 / 2 + prompt_tokens * others, cost), np.nan],
    }
    for name, ways in predictions(prompts, split, max_tokens, min_similarity).items():
        means = np.array([d.mean for d in ways])
        squares = np.array([float(d.tokens**2 @ d.weights) for d in ways])
        table[name] = [
            tau(means, truth),
            tau(squares / 2 + prompt_tokens * means, cost),
            float(np.mean([crps(d, x) for d, x in zip(ways, truth, strict=True)]) / truth.mean()),
        ]
    return table


def tau(predicted: FloatArray, truth: FloatArray) -> float:
    """Kendall's tau-b; 0 where all predictions are equal, which order nothing."""
    return float(kendalltau(predicted, truth).statistic) if np.ptp(predicted) > 0 else 0.0


def crps(distribution: LengthDistribution, truth: float) -> float:
    """Integral over x of (F(x) - [x >= truth])^2, tokens."""
    points = np.sort(np.append(distribution.tokens, truth))
    cumulative = np.array([1 - distribution.survival(x) for x in points[:-1]])
    return float(((cumulative - (points[:-1] >= truth)) ** 2 * np.diff(points)).sum())


def report(title: str, splits: Iterable[dict[str, list[float]]]) -> None:
    figures: dict[str, list[list[float]]] = defaultdict(list)
    for table in splits:
        for name, row in table.items():
            figures[name].append(row)
    print(f"\n{title}\n{'':24s}{'tau':>15s}{'cost tau':>15s}{'crps':>15s}")
    for name, rows in figures.items():
        cells = zip(np.mean(rows, axis=0), np.std(rows, axis=0), strict=True)
        print(
            f"{name:24s}"
            + "".join("".rjust(15) if np.isnan(m) else f"{m:8.3f} ±{s:.3f}".rjust(15) for m, s in cells)
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=default_data_folder(), help="folder that holds castillo/"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--history", type=int, default=1500, help="prompts seen")
    parser.add_argument("--asked", type=int, default=800, help="prompts asked for")
    parser.add_argument(
        "--repeats", type=int, default=3, help="times that a prompt was seen in the second table"
    )
    parser.add_argument("--max-tokens", type=int, default=2048)
    parser.add_argument("--min-similarity", type=float, default=0.8)
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--threads", type=int, default=1)
    parsed = parser.parse_args(arguments)
    prompts = load_prompts(
        parsed.data, parsed.model, export_encoder(precision=parsed.precision), parsed.threads
    )
    if len(prompts.texts) <= parsed.history:
        raise SystemExit(
            f"predictor_quality: {parsed.model} has {len(prompts.texts)} prompts; lower --history"
        )

    def scored(make: Callable[[np.random.Generator], Split]) -> list[dict[str, list[float]]]:
        rngs = (np.random.default_rng(seed) for seed in range(parsed.splits))
        return [scores(prompts, make(rng), parsed.max_tokens, parsed.min_similarity) for rng in rngs]

    print(f"{parsed.model}: {len(prompts.texts)} prompts, {parsed.splits} splits, encoder {parsed.precision}")
    new = scored(lambda rng: split_by_prompt(prompts, rng, parsed.history, parsed.asked))
    report(f"prompts never seen, {parsed.history} others seen once each", new)
    known = scored(lambda rng: split_by_sample(prompts, rng, parsed.repeats, min(500, len(prompts.texts))))
    report(f"prompts seen {parsed.repeats} times on average", known)


if __name__ == "__main__":
    main()
