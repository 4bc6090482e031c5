"""What a policy may know of answer lengths during a replay.

- `true`: the distribution of other answers to the same prompt, as a perfect predictor would give it. Never
the answer
  that happens.
- `predictor`: the predictor of the product, learning from the replay's own answers as they finish, warmed
before on
  other prompts if wanted.
- `by-prompt-tokens`: the latest answers to prompts of about the same size (module of that name).
- `none`: nothing, ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sagesched_emulator.dataset import Record
from sagesched_emulator.trace import Trace, TraceRequest, prompt_tokens_of
from sagesched_predictor import LengthDistribution, Outcome, PromptFeatures
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Embedder, Predictor, PriorQuantiles
from sagesched_predictor.ring import FloatMatrix

KINDS = ("true", "predictor", "by-prompt-tokens", "none")

EMBEDDED_AT_ONCE = 256
MAX_THREADS = 4  # more of them gain little on prompts of this length


class Knowledge(Protocol):
    """Source of predictions of one replayed run."""

    def pool(self) -> LengthDistribution | None:
        """What is assumed of every request before the first arrival."""

    def predict(self, request: TraceRequest) -> LengthDistribution | None:
        """What is known of a request when it arrives."""

    def observe(self, request: TraceRequest) -> LengthDistribution | None:
        """Note a finished answer; returns what is now assumed of every request, where that changed."""


class Ignorance:
    """`none`."""

    def pool(self) -> LengthDistribution | None:
        """Nothing."""
        return None

    def predict(self, request: TraceRequest) -> LengthDistribution | None:
        """Nothing."""
        return None

    def observe(self, request: TraceRequest) -> LengthDistribution | None:
        """Learns nothing."""
        return None


class OtherAnswers(Ignorance):
    """`true`."""

    def predict(self, request: TraceRequest) -> LengthDistribution | None:
        """Lengths of the other answers to this prompt."""
        return request.known


class Truth(Ignorance):
    """What oracles are told, whatever the others know."""

    def predict(self, request: TraceRequest) -> LengthDistribution | None:
        """The true length."""
        return LengthDistribution.point(request.output_tokens)


class Learned:
    """`predictor`: the product's own."""

    def __init__(self, predictor: Predictor, model: str) -> None:
        """Use, and go on teaching, this predictor; all answers count as of this model."""
        self._predictor = predictor
        self._model = model

    def pool(self) -> LengthDistribution | None:
        """The lengths of the whole history."""
        return self._predictor.pool(self._model).news()

    def predict(self, request: TraceRequest) -> LengthDistribution | None:
        """Lengths of answers to similar prompts."""
        (prediction,) = self._predictor.predict([self._features(request)])
        return prediction.distribution

    def observe(self, request: TraceRequest) -> LengthDistribution | None:
        """Add the answer to the history."""
        outcome = Outcome(output_tokens=request.output_tokens, censored=request.censored)
        self._predictor.observe(self._features(request), outcome)
        return self._predictor.pool(self._model).news()

    def _features(self, request: TraceRequest) -> PromptFeatures:
        return PromptFeatures(
            prompt=request.prompt,
            prompt_tokens=request.prompt_tokens,
            max_tokens=request.max_tokens,
            model=self._model,
        )


UNNAMED = "replayed"


def model_of(lines: Iterable[Record | TraceRequest]) -> str:
    """The one model that all lines name; `UNNAMED` where they differ, since one engine serves one model."""
    names = {line.model for line in lines}
    return names.pop() or UNNAMED if len(names) == 1 else UNNAMED


class RememberedEmbeddings:
    """An encoder that runs once per prompt text, however many policies ask."""

    def __init__(self, encoder: Embedder) -> None:
        """Remember what this encoder gives."""
        self._encoder = encoder
        self._known: dict[str, FloatMatrix] = {}

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Unit vectors, float32 (len(texts), dimension)."""
        new = list({text: None for text in texts if text not in self._known})
        if new:
            self._known.update(zip(new, self._encoder.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts])

    def prepare(self, texts: Iterable[str], on_embedded: Callable[[int], object]) -> None:
        """Run the encoder over all texts, telling how many are done after each batch."""
        distinct = list(dict.fromkeys(texts))
        for start in range(0, len(distinct), EMBEDDED_AT_ONCE):
            batch = distinct[start : start + EMBEDDED_AT_ONCE]
            self.embed(batch)
            on_embedded(len(batch))


@dataclass(frozen=True, slots=True)
class OpenArtifact:
    """A predictor's networks, ready to run.

    Attributes:
        embeddings: its encoder.
        dimension: length of its vectors.
        prior: its head; None where it has none.
    """

    embeddings: RememberedEmbeddings
    dimension: int
    prior: PriorQuantiles | None = None


def learned(artifact: OpenArtifact, warm: Sequence[Record], *, seed: int, model: str = UNNAMED) -> Learned:
    """A fresh predictor that has seen one answer to each of the `warm` records, drawn by the seed."""
    predictor = Predictor(artifact.embeddings, History(artifact.dimension), artifact.prior)
    observe_records(predictor, warm, seed=seed, model=model)
    return Learned(predictor, model)


def observe_records(predictor: Predictor, records: Sequence[Record], *, seed: int, model: str) -> None:
    """Let a predictor observe one answer to each record, drawn by the seed, as of this model."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    for record in records:
        samples = record.output_samples
        length = record.output_tokens or samples[int(rng.integers(len(samples)))]
        features = PromptFeatures(
            prompt=record.prompt,
            prompt_tokens=prompt_tokens_of(record),
            max_tokens=record.max_tokens,
            model=model,
        )
        cut = min(length, record.max_tokens)
        is_censored = record.censored or cut >= record.max_tokens
        predictor.observe(features, Outcome(output_tokens=cut, censored=is_censored))


def knows_other_answers(trace: Trace) -> bool:
    """Whether `true` would say anything about this trace."""
    return any(request.known is not None for request in trace.requests)


def open_artifact(folder: Path | None) -> OpenArtifact:
    """The predictor's networks.

    Args:
        folder: an artifact; None makes or finds the shipped one in the cache.

    Raises:
        PredictorError: the artifact cannot be made or used.
    """
    # Imported here, since only this kind of knowledge needs the ONNX runtime, and the exporter its own extra.
    from sagesched_predictor.artifact import EncoderArtifact
    from sagesched_predictor.encoder import Encoder, EncoderOptions
    from sagesched_predictor.head import load_prior

    if folder is None:
        from sagesched_predictor.training.export import export_encoder

        folder = export_encoder()
    artifact = EncoderArtifact.load(folder)
    encoder = Encoder(artifact, EncoderOptions(threads=min(MAX_THREADS, os.cpu_count() or 1)))
    return OpenArtifact(RememberedEmbeddings(encoder), encoder.dimension, load_prior(artifact))
