"""The learned prior: what a cold pool assumes of a prompt, from prompts of other pools.

A small network, the head, reads the embedding and the request's features and gives quantiles of the natural
logarithm of the output tokens at fixed levels. Models that it was trained with have a place of their own in
it; any other model gets the population's answer. The head's hidden layer is a representation of prompts that
was made to tell lengths apart, which a regression on the pool's own outcomes can use beside the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sagesched_predictor.distribution import MAX_ATOMS, LengthDistribution

FloatMatrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating]

LEVELS: tuple[float, ...] = (
    0.01,
    0.025,
    *(round(0.05 * step, 2) for step in range(1, 20)),
    0.975,
    0.99,
)
# The head's number of a model that it was not trained with.
POPULATION = 0
# No answer is longer than the longest context that is served.
MAX_LOG_TOKENS = float(np.log(1_000_000))
_LEVELS = np.array(LEVELS)
# Of the atoms of a distribution made of quantiles.
_MIDDLES = (np.arange(MAX_ATOMS) + 0.5) / MAX_ATOMS
_EQUAL_SHARES = np.full(MAX_ATOMS, 1 / MAX_ATOMS)


class Head(Protocol):
    """The network behind a prior.

    Attributes:
        levels: of its quantiles, increasing, in (0, 1).
        models: names of the models with a place of their own; the first has number 1.
        representation_size: width of its hidden layer as given out; 0 where it gives none.
    """

    levels: tuple[float, ...]
    models: tuple[str, ...]
    representation_size: int

    def run(
        self, embeddings: FloatMatrix, vectors: FloatMatrix, models: npt.NDArray[np.int64]
    ) -> tuple[FloatMatrix, FloatMatrix]:
        """Log quantiles (n, levels) and representation (n, representation_size)."""


class Prior:
    """Quantiles of log output tokens for prompts that nobody has answered here yet."""

    def __init__(self, head: Head) -> None:
        """Speak through this head."""
        self._head = head
        self._numbers = {comparable_model(name): number for number, name in enumerate(head.models, start=1)}
        self.representation_size = head.representation_size

    def predict(self, embeddings: FloatMatrix, vectors: FloatMatrix, models: Sequence[str]) -> FloatMatrix:
        """Quantiles of ln(output tokens) at `LEVELS`, not decreasing along a row, never below 0 (one token).

        Args:
            embeddings: of the prompts, float32 (n, dimension).
            vectors: their `request_vector`s, float32 (n, NUM_FEATURES).
            models: name of the served model of each.

        Returns:
            float32 (n, len(LEVELS)).
        """
        numbers = np.array(
            [self._numbers.get(comparable_model(model), POPULATION) for model in models], dtype=np.int64
        )
        quantiles, _ = self._head.run(embeddings, vectors, numbers)
        if self._head.levels != LEVELS:
            quantiles = np.stack([np.interp(LEVELS, self._head.levels, row) for row in quantiles])
        if not np.isfinite(quantiles).all():
            quantiles = np.nan_to_num(quantiles, nan=0.0, posinf=MAX_LOG_TOKENS)
        return _within_range(np.maximum.accumulate(quantiles, axis=1)).astype(np.float32, copy=False)

    def represent(self, embeddings: FloatMatrix, vectors: FloatMatrix) -> FloatMatrix:
        """The representation that tells lengths apart, float32 (n, representation_size).

        It is the same for every model; see `predict` for the arguments.
        """
        _, representation = self._head.run(
            embeddings, vectors, np.full(len(embeddings), POPULATION, dtype=np.int64)
        )
        return representation

    def knows(self, model: str) -> bool:
        """Whether this model was among those that the prior was trained with."""
        return comparable_model(model) in self._numbers


def comparable_model(name: str) -> str:
    """A model's name without its owner and its case: "meta-llama--Llama-3.1-8B" is "llama-3.1-8b"."""
    return name.replace("--", "/").rsplit("/", 1)[-1].strip().lower()


def to_distribution(log_quantiles: npt.NDArray[np.floating]) -> LengthDistribution:
    """The distribution with these quantiles of ln(tokens) at `LEVELS`, shape (len(LEVELS),).

    Equal shares of probability, each at its middle; between two levels the logarithm runs straight.
    """
    logs = np.interp(_MIDDLES, _LEVELS, log_quantiles)
    return LengthDistribution.from_samples(np.exp(_within_range(logs)), _EQUAL_SHARES)


def _within_range(logs: Floats) -> Floats:
    # Several times as fast as `np.clip` where there are few.
    within: Floats = np.minimum(np.maximum(logs, 0.0), MAX_LOG_TOKENS)
    return within
