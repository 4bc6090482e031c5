"""`Predictor`: predict before an answer, observe after it; a façade over encoder, prior and series.

A request belongs to a series (model, sampling regime, tenant where asked), and each series learns from its
own answers alone (`series.py`). Until it has any, the learned prior speaks; without a prior, the lengths of
the model's other answers; without these, nobody.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import numpy as np

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History
from sagesched_predictor.pool import PoolLengths
from sagesched_predictor.prior import to_distribution
from sagesched_predictor.request_features import NUM_FEATURES, request_vectors
from sagesched_predictor.ring import FloatMatrix, Ring
from sagesched_predictor.series import (
    MIDDLE,
    Compared,
    FittedHere,
    Opinions,
    Prompts,
    Series,
    StartFit,
    first_opinions,
)
from sagesched_predictor.series_key import SeriesKey

# Embeddings of prompts that were predicted and not yet observed; 1.5 kB each.
REMEMBERED_PROMPTS = 8192


class Embedder(Protocol):
    """What the predictor needs of an encoder."""

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Unit vectors, float32 (len(texts), dimension)."""


class PriorQuantiles(Protocol):
    """What the predictor needs of a learned prior; see `prior.Prior`."""

    def predict(self, embeddings: FloatMatrix, vectors: FloatMatrix, models: Sequence[str]) -> FloatMatrix:
        """Quantiles of ln(output tokens) at `LEVELS`, float32 (n, levels)."""


class Search(Protocol):
    """What the predictor needs of a search on a device; see `device_search.DeviceSearch`."""

    def run(self, key: bytes, prompt: str, vector: FloatMatrix, series: Series) -> FloatMatrix | None:
        """Embed a prompt, (dimension,), and keep how it compares; None where that cannot be."""

    def compared(self, key: bytes, series: Series) -> Compared | None:
        """How a prompt compares, if that was kept and still holds."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is predicted for one prompt.

    Attributes:
        distribution: of the output tokens, cut at the request's max_tokens; None where `source` is "none".
        source: who counts most: `prior`, `head`, `history` (similar prompts), `pool` (all answers) or `none`.
        neighbours: records that are similar enough to be called neighbours.
    """

    distribution: LengthDistribution | None
    source: str
    neighbours: int


class Predictor:
    """Predicts output lengths and learns from outcomes. Not thread-safe: one owner."""

    def __init__(
        self,
        encoder: Embedder,
        history: History,
        prior: PriorQuantiles | None = None,
        *,
        search: Search | None = None,
        start_fit: StartFit = FittedHere,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Go on from a history as it is.

        Args:
            encoder: of the prompts.
            history: records of the same encoder.
            prior: for prompts that the pool knows nothing of; None for none.
            search: compares prompts on the encoder's device; None where all are compared here.
            start_fit: where online heads are fitted; at once and here when left out.
            clock: Unix seconds, kept with each record.
        """
        self._encoder = encoder
        self._history = history
        self._prior = prior
        self._search = search
        self._start_fit = start_fit
        self._clock = clock
        self._embeddings: OrderedDict[bytes, FloatMatrix] = OrderedDict()
        self._series: dict[SeriesKey, Series] = {}
        # Weighs what is said of a series without records.
        self._unheard = Series(Ring(1, history.dimension, NUM_FEATURES), history.min_similarity)
        self._pools: dict[str, PoolLengths] = {}
        for key in history.keys:
            self._restore(key)
        self._restore_pools()

    @property
    def num_records(self) -> int:
        """Records in the history, all series."""
        return len(self._history)

    @property
    def models(self) -> list[str]:
        """Models that something is known of."""
        return list(self._pools)

    def pool(self, model: str) -> PoolLengths:
        """The lengths of all answers of a model."""
        return self._pools.setdefault(model, PoolLengths())

    def predict(self, prompts: Sequence[PromptFeatures]) -> list[Prediction]:
        """One prediction per prompt, in order. The encoder runs once for all prompts that are new to it.

        Raises:
            EncoderError: the encoder failed.
        """
        vectors = request_vectors(prompts)
        if len(prompts) == 1:
            self._search_on_device(prompts[0], vectors)
        embeddings = self._embed([features.prompt for features in prompts])
        keys = [SeriesKey.of(features) for features in prompts]
        predictions: dict[int, Prediction] = {}
        for key in dict.fromkeys(keys):
            rows = [row for row, other in enumerate(keys) if other == key]
            series = self._series.get(key)
            of_key = [prompts[row] for row in rows]
            seen = self._seen(of_key, embeddings[rows], vectors[rows], self._compared(of_key, series))
            opinions = first_opinions(seen, self.pool(key.model)) if series is None else series.opinions(seen)
            for row, one in zip(rows, opinions, strict=True):
                predictions[row] = self._predicted(key, one, prompts[row])
        return [predictions[row] for row in range(len(prompts))]

    def predict_unseen(self, features: PromptFeatures) -> Prediction:
        """The pool-wide prediction, without running the encoder: for times when it cannot keep up."""
        distribution = self.pool(features.model).distribution()
        return _cut(distribution, "none" if distribution is None else "pool", 0, features)

    def observe(self, features: PromptFeatures, outcome: Outcome) -> None:
        """Record what happened. The embedding of a recently predicted prompt is reused.

        Raises:
            EncoderError: the prompt had to be embedded and the encoder failed.
        """
        embeddings = self._embed([features.prompt])
        seen = self._seen([features], embeddings, request_vectors([features]))
        self._series_of(SeriesKey.of(features)).observe(seen, outcome, self._clock())
        self.observe_length(features.model, outcome)

    def observe_length(self, model: str, outcome: Outcome) -> None:
        """Record the length for the model's pool only, without the prompt."""
        self.pool(model).observe(outcome.output_tokens, outcome.censored)

    def remember(self, prompts: Sequence[str]) -> None:
        """Embed prompts together, so that `observe` finds their embeddings at hand.

        Raises:
            EncoderError: the encoder failed.
        """
        self._embed(prompts)

    def remembers(self, prompt: str) -> bool:
        """Whether `observe` would find this prompt's embedding at hand."""
        return _key(prompt) in self._embeddings

    def _search_on_device(self, features: PromptFeatures, vector: FloatMatrix) -> None:
        """Embed a prompt that is new, and compare it on the encoder's device where that can be."""
        if self._search is None:
            return
        key, series = _key(features.prompt), self._series.get(SeriesKey.of(features))
        if series is None or key in self._embeddings:
            return
        embedding = self._search.run(key, features.prompt, vector, series)
        if embedding is not None:
            self._embeddings[key] = embedding

    def _compared(
        self, prompts: Sequence[PromptFeatures], series: Series | None
    ) -> Sequence[Compared | None]:
        if self._search is None or series is None:
            return ()
        return [self._search.compared(_key(features.prompt), series) for features in prompts]

    def _seen(
        self,
        prompts: Sequence[PromptFeatures],
        embeddings: FloatMatrix,
        vectors: FloatMatrix,
        compared: Sequence[Compared | None] = (),
    ) -> Prompts:
        prior = None
        if self._prior is not None:
            # One by one, as `Series` does and for the same reason.
            rows = [
                self._prior.predict(embeddings[row : row + 1], vectors[row : row + 1], [features.model])
                for row, features in enumerate(prompts)
            ]
            prior = np.concatenate(rows)
        tokens = np.array([features.prompt_tokens for features in prompts], dtype=np.int64)
        return Prompts(embeddings, vectors, tokens, prior, compared)

    def _series_of(self, key: SeriesKey) -> Series:
        ring = self._history.ring(key)
        series = self._series.get(key)
        if series is None or series.ring is not ring:
            self._series = {known: one for known, one in self._series.items() if self._history.find(known)}
            series = self._series[key] = Series(ring, self._history.min_similarity, self._start_fit)
        return series

    def _restore(self, key: SeriesKey) -> None:
        """Take up a series of records that were read from a file."""
        ring = self._history.ring(key)
        if self._prior is not None:
            prior = self._prior.predict(ring.embeddings, ring.vectors, [key.model] * len(ring))
            ring.offsets[:] = prior[:, MIDDLE]
        self._series_of(key)

    def _restore_pools(self) -> None:
        """A model's answers in the order in which they came, whichever of its series they belong to."""
        answers: list[tuple[float, str, int, bool]] = []
        for key in self._history.keys:
            ring = self._history.ring(key)
            order = ring.by_age()
            columns = (ring.recorded_at[order], ring.output_tokens[order], ring.censored[order])
            for recorded_at, *answer in zip(*(column.tolist() for column in columns), strict=True):
                answers.append((recorded_at, key.model, *answer))
        for _, model, output_tokens, censored in sorted(answers, key=itemgetter(0)):
            self.pool(model).observe(output_tokens, censored)

    def _predicted(self, key: SeriesKey, opinions: Opinions, features: PromptFeatures) -> Prediction:
        series = self._series.get(key, self._unheard)
        source = series.main_source(opinions)
        distribution = None if source == "none" else to_distribution(series.quantiles(opinions))
        return _cut(distribution, source, opinions.neighbours, features)

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


def _cut(
    distribution: LengthDistribution | None, source: str, neighbours: int, features: PromptFeatures
) -> Prediction:
    if distribution is not None and features.max_tokens > 0:
        distribution = distribution.clipped(features.max_tokens)
    return Prediction(distribution, source, neighbours)
