"""A predictor from an artifact: encoder, prior and an empty history put together."""

from __future__ import annotations

from collections.abc import Callable

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.device_search import search_on_device
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor

HISTORY_SIZE = 10_000


def open_predictor(
    artifact: EncoderArtifact,
    options: EncoderOptions | None = None,
    *,
    on_fallback: Callable[[str], object] = lambda reason: None,
) -> Predictor:
    """A predictor that has observed nothing yet.

    Args:
        artifact: a checked artifact.
        options: how to run its encoder.
        on_fallback: told in a sentence when the asked device is not used.

    Raises:
        EncoderError: a network cannot be loaded or run as asked.
        ArtifactError: tokenizer or head cannot be used.
    """
    encoder = Encoder(artifact, options)
    if encoder.fallback:
        on_fallback(encoder.fallback)
    history = History(encoder.dimension, size=HISTORY_SIZE)
    return Predictor(encoder, history, load_prior(artifact), search=search_on_device(encoder, on_fallback))
