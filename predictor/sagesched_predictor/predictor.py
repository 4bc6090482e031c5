"""`Predictor`: predict before an answer, observe after it; a façade over encoder, history and pool.

Which source speaks for a prompt of a model:

1. `history`: at least `MIN_NEIGHBOURS` records are similar enough: the lengths of these neighbours.
2. `pool`: otherwise, the lengths of the model's whole history.
3. `none`: fewer than `pool.MIN_LENGTHS` lengths of this model are known.

In the first two, nearer records count more (`kernel.py`).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History, Neighbourhood
from sagesched_predictor.kernel import kernel_weights
from sagesched_predictor.pool import MIN_LENGTHS, PoolLengths
from sagesched_predictor.ring import FloatMatrix

Source = Literal["history", "pool", "none"]

# With fewer, the rest of the history still has something to add to what the neighbours say.
MIN_NEIGHBOURS = 8
# Embeddings of prompts that were predicted and not yet observed; 1.5 kB each.
REMEMBERED_PROMPTS = 8192


class Embedder(Protocol):
    """What the predictor needs of an encoder."""

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Unit vectors, float32 (len(texts), dimension)."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is predicted for one prompt.

    Attributes:
        distribution: of the output tokens, cut at the request's max_tokens; None where `source` is "none".
        source: who speaks, see the module.
        neighbours: records of known length that are similar enough.
    """

    distribution: LengthDistribution | None
    source: Source
    neighbours: int


class Predictor:
    """Predicts output lengths from similar prompts seen before. Not thread-safe: one owner."""

    def __init__(self, encoder: Embedder, history: History) -> None:
        """Use a history as it is; its known lengths also fill the pools."""
        self._encoder = encoder
        self._history = history
        self._embeddings: OrderedDict[bytes, FloatMatrix] = OrderedDict()
        self._pools: dict[str, PoolLengths] = {}
        for model in history.models:
            ring = history.ring(model)
            order = ring.by_age()
            for output_tokens in ring.output_tokens[order][~ring.censored[order]]:
                self.pool(model).observe(int(output_tokens))

    @property
    def num_records(self) -> int:
        """Records in the history, all models."""
        return len(self._history)

    @property
    def models(self) -> list[str]:
        """Models that something is known of."""
        return list(self._pools)

    def pool(self, model: str) -> PoolLengths:
        """The pool-wide lengths of a model."""
        return self._pools.setdefault(model, PoolLengths())

    def predict(self, prompts: Sequence[PromptFeatures]) -> list[Prediction]:
        """One prediction per prompt, in order. The encoder runs once for all prompts that are new to it.

        Raises:
            EncoderError: the encoder failed.
        """
        embeddings = self._embed([features.prompt for features in prompts])
        predictions: list[Prediction | None] = [None] * len(prompts)
        for model in {features.model for features in prompts}:
            rows = [i for i, features in enumerate(prompts) if features.model == model]
            for i, found in zip(rows, self._history.search(model, embeddings[rows]), strict=True):
                predictions[i] = _predicted(found, prompts[i])
        return [prediction for prediction in predictions if prediction is not None]

    def predict_unseen(self, features: PromptFeatures) -> Prediction:
        """The pool-wide prediction, without running the encoder: for times when it cannot keep up."""
        distribution = self.pool(features.model).distribution()
        return _cut(distribution, "none" if distribution is None else "pool", 0, features)

    def observe(self, features: PromptFeatures, outcome: Outcome) -> None:
        """Record what happened. The embedding of a recently predicted prompt is reused.

        Raises:
            EncoderError: the prompt had to be embedded and the encoder failed.
        """
        (embedding,) = self._embed([features.prompt])
        self._history.ring(features.model).append(
            embedding,
            output_tokens=outcome.output_tokens,
            prompt_tokens=features.prompt_tokens,
            censored=outcome.censored,
        )
        self.observe_length(features.model, outcome)

    def observe_length(self, model: str, outcome: Outcome) -> None:
        """Record the length for the pool only, without the prompt."""
        if not outcome.censored:
            self.pool(model).observe(outcome.output_tokens)

    def remember(self, prompts: Sequence[str]) -> None:
        """Embed prompts together, so that `observe` finds their embeddings at hand.

        Raises:
            EncoderError: the encoder failed.
        """
        self._embed(prompts)

    def remembers(self, prompt: str) -> bool:
        """Whether `observe` would find this prompt's embedding at hand."""
        return _key(prompt) in self._embeddings

    def _embed(self, texts: Sequence[str]) -> FloatMatrix:
        keys = [_key(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._embeddings}
        found = {key: self._embeddings[key] for key in keys if key not in new}
        if new:
            found |= zip(new, self._encoder.embed(list(new.values())), strict=True)
        for key in keys:
            self._embeddings[key] = found[key]
            self._embeddings.move_to_end(key)
        while len(self._embeddings) > REMEMBERED_PROMPTS:
            self._embeddings.popitem(last=False)
        return (
            np.stack([found[key] for key in keys])
            if keys
            else np.zeros((0, self._history.dimension), np.float32)
        )


def _key(prompt: str) -> bytes:
    """Digest of a prompt, so that no text is kept. JSON can carry lone surrogates; they get a key too."""
    return hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _predicted(found: Neighbourhood, features: PromptFeatures) -> Prediction:
    if found.output_tokens.size < MIN_LENGTHS:
        return Prediction(None, "none", found.num_neighbours)
    by_history = found.num_neighbours >= MIN_NEIGHBOURS
    records = found.near if by_history else np.ones_like(found.near)
    log_length_gaps = np.log(np.maximum(found.prompt_tokens[records], 1) / max(features.prompt_tokens, 1))
    weights = kernel_weights(found.similarities[records], log_length_gaps)
    distribution = LengthDistribution.from_samples(found.output_tokens[records], weights)
    return _cut(distribution, "history" if by_history else "pool", found.num_neighbours, features)


def _cut(
    distribution: LengthDistribution | None, source: Source, neighbours: int, features: PromptFeatures
) -> Prediction:
    if distribution is not None and features.max_tokens > 0:
        distribution = distribution.clipped(features.max_tokens)
    return Prediction(distribution, source, neighbours)
