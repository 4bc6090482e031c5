"""A predictor fitted without one fold of the prompts, for figures on prompts that nothing was trained on.

It is the product's own predictor with the product's own training; only the way of the networks is another:
embeddings come from a table of pooled layers that were computed once, and the head runs as it was fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.prior import LEVELS, Prior
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.export import cache_root
from sagesched_predictor.training.fitting import FitOptions, Fitted
from sagesched_predictor.training.naming import named_models
from sagesched_predictor.training.network import FloatMatrix
from sagesched_predictor.training.pipeline import Material, prepare, read_examples
from sagesched_predictor.training.pooling import pooled_layers
from sagesched_predictor.training.shape import DIMENSION, REPRESENTATION


@dataclass(frozen=True)
class Bench:
    """The training material, and pooled layers of every prompt that may be asked for."""

    material: Material
    pooled: dict[str, FloatMatrix]

    @classmethod
    def make(cls, data: Path, asked: Sequence[str], threads: int) -> Bench:
        """Read the pack; `asked` are the texts of prompts to evaluate on, which may be outside of it."""
        material = prepare(read_examples(data), threads)
        prompts = list(dict.fromkeys(asked))
        return cls(
            material,
            dict(zip(prompts, pooled_layers(prompts, cache_root() / "training", threads), strict=True)),
        )

    def fit(self, *folds: int, without_model: str = "", seed: int = 0) -> Fitted:
        """Fit without these folds, and without any answer of one model if named."""
        material = self.material
        if without_model:
            kept = [i for i, e in enumerate(material.examples) if e.model != without_model]
            material = Material(
                [material.examples[i] for i in kept],
                material.table,
                material.rows[kept],
                material.folds[kept],
            )
        return material.fit(FitOptions(seed=seed), without_folds=folds, on_step=lambda step, loss: None)

    def examples(self, fold: int) -> list[TrainingExample]:
        """What `fit` trains on."""
        return [e for e, f in zip(self.material.examples, self.material.folds, strict=True) if f != fold]


def predictor_of(fitted: Fitted, pooled: dict[str, FloatMatrix]) -> Predictor:
    """A predictor that has observed nothing, for prompts whose pooled layers are known."""
    return Predictor(_LookUp(fitted, pooled), History(DIMENSION), Prior(_FittedHead(fitted)))


class _LookUp:
    """Stands in for the encoder: pooled layers were computed beforehand, by the same network."""

    def __init__(self, fitted: Fitted, pooled: dict[str, FloatMatrix]) -> None:
        texts = list(pooled)
        vectors = fitted.embed(np.stack([pooled[text] for text in texts]))
        self._vectors = dict(zip(texts, vectors, strict=True))

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Unit vectors of known texts."""
        return np.stack([self._vectors[text] for text in texts])


class _FittedHead:
    """The head as it was fitted; see `prior.Head`."""

    levels = LEVELS
    representation_size = REPRESENTATION

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        self._names = named_models(fitted.models)
        self.models = tuple(self._names)

    def run(
        self, embeddings: FloatMatrix, vectors: FloatMatrix, models: npt.NDArray[np.int64]
    ) -> tuple[FloatMatrix, FloatMatrix]:
        """Log quantiles and representation."""
        quantiles, representation = self._fitted.predict(embeddings, vectors)
        quantiles = quantiles.copy()
        for number in set(models.tolist()) - {0}:
            rows = models == number
            name = self._names[self.models[number - 1]]
            quantiles[rows], _ = self._fitted.predict(embeddings[rows], vectors[rows], name)
        return quantiles, representation
