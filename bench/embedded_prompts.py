"""CASTILLO's prompts with their embeddings, for what is measured on the predictor's own embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from castillo import read_castillo
from scipy.stats import kendalltau

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.training.export import cache_root

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prompts:
    """Prompts of one model, with unit vectors (n, d), prompt tokens (n,) and recorded lengths (n, 10)."""

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

    def __init__(self, texts: Sequence[str], embeddings: npt.NDArray[np.float32]) -> None:
        self._vectors = dict(zip(texts, embeddings, strict=True))

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


def tau(predicted: FloatArray, truth: FloatArray) -> float:
    """Kendall's tau-b; 0 where all predictions are equal, which order nothing."""
    return float(kendalltau(predicted, truth).statistic) if np.ptp(predicted) > 0 else 0.0


def crps(distribution: LengthDistribution, truth: float) -> float:
    """Integral over x of (F(x) - [x >= truth])^2, tokens."""
    points = np.sort(np.append(distribution.tokens, truth))
    cumulative = np.array([1 - distribution.survival(x) for x in points[:-1]])
    return float(((cumulative - (points[:-1] >= truth)) ** 2 * np.diff(points)).sum())
