"""The head of an artifact in ONNX Runtime: a small network from embedding and features to log quantiles.

The protocol, which a user's own `head.onnx` follows to work without code (docs/guides/prediction.md):

    input   embedding       float32 (n, dimension)      required
    input   features        float32 (n, features)       optional; `request_features.NAMES` of this version
    input   model           int64 (n,)                  optional; 0 = a model without a place of its own
    output  log_quantiles   float32 (n, levels)         required; of ln(output tokens)
    output  representation  float32 (n, any)            optional

The card names `head.levels`, and with their inputs `head.features` and `head.models`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.errors import ArtifactError, EncoderError
from sagesched_predictor.prior import FloatMatrix, Prior
from sagesched_predictor.request_features import NAMES
from sagesched_predictor.runtime import start_session

_INPUTS = {"embedding", "features", "model"}


class OnnxHead:
    """A `prior.Head` that runs `head.onnx` on the CPU: it is far too small for a device."""

    def __init__(self, artifact: EncoderArtifact) -> None:
        """Start a session.

        Raises:
            ArtifactError: the network does not follow the protocol, or was made for other features.
            EncoderError: it cannot be loaded.
        """
        card = artifact.card.get("head")
        place = artifact.head_path
        if not isinstance(card, Mapping):
            raise ArtifactError(f"{artifact.folder}: the card says nothing about the head; export it again")
        self._session = start_session(place, device="CPU", threads=1)
        self._inputs = {tensor.name for tensor in self._session.get_inputs()}
        outputs = {tensor.name: tensor.shape for tensor in self._session.get_outputs()}
        if not {"embedding"} <= self._inputs <= _INPUTS or "log_quantiles" not in outputs:
            raise ArtifactError(
                f"{place}: needs input embedding, at most features and model beside it, and output "
                f"log_quantiles; has {sorted(self._inputs)} and {sorted(outputs)}"
            )
        self.levels = _levels(card, place.name)
        num_quantiles = _width(outputs["log_quantiles"])
        if num_quantiles not in (None, len(self.levels)):
            raise ArtifactError(f"{place}: {num_quantiles} quantiles, {len(self.levels)} levels")
        if "features" in self._inputs and _names(card, "features", place.name) != NAMES:
            raise ArtifactError(f"{place}: made for other features than this version has; train it again")
        self.models = _names(card, "models", place.name) if "model" in self._inputs else ()
        self._outputs = ["log_quantiles"]
        self.representation_size = _width(outputs.get("representation", [])) or 0
        if self.representation_size:
            self._outputs.append("representation")

    def run(
        self, embeddings: FloatMatrix, vectors: FloatMatrix, models: npt.NDArray[np.int64]
    ) -> tuple[FloatMatrix, FloatMatrix]:
        """See `prior.Head`; raises EncoderError when the runtime fails."""
        everything = {"embedding": embeddings, "features": vectors, "model": models}
        inputs: dict[str, Any] = {name: everything[name] for name in self._inputs}
        try:
            results = self._session.run(self._outputs, inputs)
        except Exception as error:  # the runtime's exceptions share no public base class
            raise EncoderError(f"the head failed on a batch of {len(embeddings)}: {error}") from error
        if results[0].shape != (len(embeddings), len(self.levels)):
            raise EncoderError(
                f"the head gave {results[0].shape} for {len(embeddings)} prompts, {len(self.levels)} levels"
            )
        none = np.zeros((len(embeddings), 0), dtype=np.float32)
        return results[0], results[1] if self.representation_size else none


def load_prior(artifact: EncoderArtifact) -> Prior | None:
    """The prior of an artifact; None where the artifact is an encoder alone.

    Raises:
        ArtifactError: there is a head, and it does not follow the protocol.
        EncoderError: there is a head, and it cannot be loaded.
    """
    return Prior(OnnxHead(artifact)) if artifact.has_head else None


def _width(shape: Sequence[Any]) -> int | None:
    """Of an output; None where the exporter left it open, so that only a run tells."""
    return shape[-1] if shape and isinstance(shape[-1], int) else None


def _names(card: Mapping[str, Any], field: str, name: str) -> tuple[str, ...]:
    names = card.get(field, [])
    if not isinstance(names, list):
        raise ArtifactError(f"{name}: the card's head.{field} must be a list of names")
    return tuple(map(str, names))


def _levels(card: Mapping[str, Any], name: str) -> tuple[float, ...]:
    try:
        levels = tuple(float(level) for level in card["levels"])
    except (KeyError, TypeError, ValueError):
        levels = ()
    if len(levels) < 2 or list(levels) != sorted(set(levels)) or not 0 < levels[0] < levels[-1] < 1:
        raise ArtifactError(f"{name}: the card's head.levels must be increasing numbers between 0 and 1")
    return levels
