"""The sentence encoder: texts to unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.comparison import COMPARED, COMPARED_WITH, REQUEST, Comparison
from sagesched_predictor.device_copy import DeviceCopy
from sagesched_predictor.errors import EncoderError
from sagesched_predictor.network_run import BoundRun, Inputs, NetworkRun, PlainRun, ReplayedRun
from sagesched_predictor.runtime import PROVIDERS, fallback_reason, is_recorded, start_session
from sagesched_predictor.tokenizer import PromptTokenizer

FloatMatrix = npt.NDArray[np.float32]

MAX_BATCH = 16
# A prompt joins a batch only if it fills this share of the batch's width: on CPUs padding costs as much as
# text.
SMALLEST_FILL = 0.75
# How far from 1 the length of a unit vector may be in half precision.
ROUNDING = 2e-3
_INPUTS = {"attention_mask", "input_ids"}


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How to run the encoder.

    Attributes:
        device: "CPU" or "GPU".
        threads: threads inside one operator.
        max_prompt_tokens: longer prompts keep head and tail; in the encoder's own tokens.
    """

    device: str = "CPU"
    threads: int = 1
    max_prompt_tokens: int = 256


class Encoder:
    """Texts -> unit vectors.

    Attributes:
        provider: the execution provider in use, e.g. "CPUExecutionProvider".
        fallback: None, or why the asked device is not used, in one sentence.
        fingerprint: identity of the network; see `EncoderArtifact`.
        dimension: length of an embedding.
        session: of ONNX Runtime.
        tokenizer: of the prompts.
    """

    def __init__(self, artifact: EncoderArtifact, options: EncoderOptions | None = None) -> None:
        """Start a session.

        Raises:
            EncoderError: both onnxruntime distributions are installed, the device is unknown or does not run
                this precision, or the network cannot be loaded or is not as wide as its card says.
            ArtifactError: the tokenizer cannot be used.
        """
        options = options or EncoderOptions()
        if options.device not in PROVIDERS:
            raise EncoderError(f"unknown device {options.device!r}; use one of {', '.join(PROVIDERS)}")
        if options.device == "GPU" and artifact.card.get("precision") == "int8":
            raise EncoderError(
                "an int8 encoder would run on the CPU whatever the device; "
                "export one for the GPU with `sagesched-predictor export --precision fp16`"
            )
        limit = min(options.max_prompt_tokens, artifact.max_prompt_tokens or options.max_prompt_tokens)
        self.tokenizer = PromptTokenizer(artifact.tokenizer_path, limit)
        self.session = start_session(artifact.encoder_path, device=options.device, threads=options.threads)
        _check_protocol(self.session, artifact)
        self.provider = str(self.session.get_providers()[0])
        self._run_network = _run_of(self.session, self.provider, artifact.dimension, limit)
        self.fallback = fallback_reason(options.device, self.provider)
        self.fingerprint = artifact.fingerprint
        self.dimension = artifact.dimension

    @property
    def compares(self) -> bool:
        """Whether `compare` can be used: on a GPU, with a network that does so (`comparison.py`)."""
        return isinstance(self._run_network, ReplayedRun) and self._run_network.compares

    def new_copy(self, num_records: int, num_landmarks: int, request_size: int) -> DeviceCopy:
        """Room on the device for what to compare with; only where the encoder `compares`.

        Raises:
            EncoderError: there is none.
        """
        try:
            return self._replayed.new_copy(num_records, num_landmarks, request_size)
        except Exception as error:  # the runtime's exceptions share no public base class
            raise EncoderError(f"the device has no room for {num_records} records: {error}") from error

    def compare(self, text: str, request: FloatMatrix, copy: DeviceCopy) -> Comparison:
        """Embed one text and compare it with what is in `copy`, in one run.

        Args:
            text: the prompt.
            request: what goes with the copy's regression, float32 (1, request_size).
            copy: made by this encoder.

        Raises:
            EncoderError: the runtime failed.
        """
        inputs = _padded(self.tokenizer.encode([text]))
        (row,) = _checked(lambda inputs: self._replayed.compare(inputs, request, copy), inputs)
        return Comparison.read(row, self.dimension)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Embeddings of `texts`, float32 (len(texts), dimension), rows of length 1, in the given order.

        Raises:
            EncoderError: the runtime failed.
        """
        result = np.zeros((len(texts), self.dimension), dtype=np.float32)
        ids = self.tokenizer.encode(texts)
        for batch in batches([len(row) for row in ids]):
            result[batch] = self._run([ids[i] for i in batch])
        return result

    @property
    def _replayed(self) -> ReplayedRun:
        assert isinstance(self._run_network, ReplayedRun), "see `compares`"
        return self._run_network

    def _run(self, rows: list[list[int]]) -> FloatMatrix:
        embedding = _checked(self._run_network, _padded(rows))
        if embedding.shape != (len(rows), self.dimension):
            raise EncoderError(
                f"the encoder gave {embedding.shape} for {len(rows)} prompts, its card says {self.dimension}"
            )
        return _of_length_one(np.asarray(embedding, dtype=np.float32))


def _run_of(session: Any, provider: str, dimension: int, widest: int) -> NetworkRun:
    if provider != PROVIDERS["GPU"]:
        return PlainRun(session, dimension)
    if not is_recorded(session):
        return BoundRun(session, dimension)
    return ReplayedRun(session, dimension, widest)


def _padded(rows: list[list[int]]) -> Inputs:
    width = max(len(row) for row in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _checked(run: Callable[[Inputs], npt.NDArray[Any]], inputs: Inputs) -> npt.NDArray[Any]:
    shape = inputs["input_ids"].shape
    try:
        output = run(inputs)
    except Exception as error:  # the runtime's exceptions share no public base class
        raise EncoderError(f"the encoder failed on a batch of {shape}: {error}") from error
    # One such row among the records would be the nearest to every prompt.
    if not np.isfinite(output).all():
        raise EncoderError(f"the encoder gave numbers that are not finite for a batch of {shape}")
    return output


def _check_protocol(session: Any, artifact: EncoderArtifact) -> None:
    """Raise EncoderError where a network is not what docs/guides/prediction.md asks for."""
    inputs = {tensor.name for tensor in session.get_inputs()}
    outputs = {tensor.name: tensor.shape for tensor in session.get_outputs()}
    shape, *beside = outputs.values()
    wanted = _INPUTS | {REQUEST, *COMPARED_WITH} if COMPARED in outputs else _INPUTS
    if inputs != wanted or len(shape) != 2 or len(beside) != (COMPARED in outputs):
        raise EncoderError(
            f"{artifact.encoder_path}: needs the inputs input_ids and attention_mask and one output "
            f"(batch, dimension); has {sorted(inputs)} and {outputs}"
        )
    # An exporter may leave the width open; then the first run tells.
    if isinstance(shape[1], int) and shape[1] != artifact.dimension:
        raise EncoderError(
            f"{artifact.encoder_path}: embeddings of {shape[1]}, the card says {artifact.dimension}"
        )


def _of_length_one(embeddings: FloatMatrix) -> FloatMatrix:
    """Rows scaled to length 1 where a network gives them otherwise; a row of zeros stays."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if np.abs(lengths - 1).max(initial=0.0) < ROUNDING:
        return embeddings
    scaled: FloatMatrix = embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Group positions of texts of similar length, longest first, at most `MAX_BATCH` to a group."""
    groups: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        group = groups[-1] if groups else []
        if group and len(group) < MAX_BATCH and lengths[position] >= SMALLEST_FILL * lengths[group[0]]:
            group.append(position)
        else:
            groups.append([position])
    return groups
