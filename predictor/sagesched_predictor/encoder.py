"""The sentence encoder in ONNX Runtime; the only module that imports onnxruntime.

Three habits of ONNX Runtime are handled here. Its CPU and GPU distributions provide the same module, and with
both installed whichever was unpacked last wins, so that is refused. A session asked for CUDA goes to the CPU
with a log line when a library is missing, so the provider in use is read back and a fall-back is reported.
Its threads spin while they wait, which would steal cores from the gateway beside it, so they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.errors import EncoderError
from sagesched_predictor.tokenizer import PromptTokenizer

FloatMatrix = npt.NDArray[np.float32]

PROVIDERS = {"CPU": "CPUExecutionProvider", "GPU": "CUDAExecutionProvider"}
MAX_BATCH = 16
# A prompt joins a batch only if it fills this share of the batch's width: on CPUs padding costs as much as
# text.
SMALLEST_FILL = 0.75
# One batch of activations is small; without a limit the arena would take what the served model needs.
GPU_MEMORY_LIMIT_BYTES = 1 << 30


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
    """

    def __init__(self, artifact: EncoderArtifact, options: EncoderOptions | None = None) -> None:
        """Start a session.

        Raises:
            EncoderError: both onnxruntime distributions are installed, the device is unknown or does not run
                this precision, or the network cannot be loaded or is not as wide as its card says.
            ArtifactError: the tokenizer cannot be used.
        """
        options = options or EncoderOptions()
        refuse_both_runtimes()
        if options.device not in PROVIDERS:
            raise EncoderError(f"unknown device {options.device!r}; use one of {', '.join(PROVIDERS)}")
        if options.device == "GPU" and artifact.card.get("precision") == "int8":
            raise EncoderError(
                "an int8 encoder would run on the CPU whatever the device; "
                "export one for the GPU with `sagesched-predictor export --precision fp32`"
            )
        self._tokenizer = PromptTokenizer(artifact.tokenizer_path, options.max_prompt_tokens)
        self._session = _start_session(artifact, options)
        self.provider = str(self._session.get_providers()[0])
        self.fallback = fallback_reason(options.device, self.provider)
        self.fingerprint = artifact.fingerprint
        self.dimension = artifact.dimension

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Embeddings of `texts`, float32 (len(texts), dimension), rows of length 1, in the given order.

        Raises:
            EncoderError: the runtime failed.
        """
        result = np.zeros((len(texts), self.dimension), dtype=np.float32)
        ids = self._tokenizer.encode(texts)
        for batch in batches([len(row) for row in ids]):
            result[batch] = self._run([ids[i] for i in batch])
        return result

    def _run(self, rows: list[list[int]]) -> FloatMatrix:
        width = max(len(row) for row in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        try:
            (embedding,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        except Exception as error:  # the runtime's exceptions share no public base class
            raise EncoderError(f"the encoder failed on a batch of {ids.shape}: {error}") from error
        return np.asarray(embedding, dtype=np.float32)


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


def refuse_both_runtimes() -> None:
    """Raise EncoderError when the CPU and the GPU distribution of ONNX Runtime are both installed."""
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if len(found) > 1:
        raise EncoderError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
            "uninstall both, then install one (extra `gateway` or `gateway-gpu`)"
        )


def fallback_reason(device: str, provider: str) -> str | None:
    """Why `provider` is not what `device` asked for; None when it is."""
    wanted = PROVIDERS[device]
    if provider == wanted:
        return None
    if wanted not in onnxruntime.get_available_providers():
        return f"{wanted} is not in this onnxruntime (install the extra gateway-gpu); running on {provider}"
    return f"{wanted} did not start (no GPU, or no CUDA and cuDNN libraries); running on {provider}"


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _start_session(artifact: EncoderArtifact, options: EncoderOptions) -> Any:
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    session_options.inter_op_num_threads = 1
    session_options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    session_options.log_severity_level = 3
    session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(artifact.encoder_path), session_options, providers=_providers(options.device)
        )
    except Exception as error:  # the runtime's exceptions share no public base class
        raise EncoderError(f"{artifact.encoder_path}: cannot be loaded ({error}); export it again") from error
    width = session.get_outputs()[0].shape[-1]
    if width != artifact.dimension:
        raise EncoderError(
            f"{artifact.encoder_path}: embeddings of {width}, the card says {artifact.dimension}"
        )
    return session


def _providers(device: str) -> list[Any]:
    cpu = PROVIDERS["CPU"]
    if device == "CPU" or PROVIDERS[device] not in onnxruntime.get_available_providers():
        return [cpu]
    # CUDA and cuDNN installed by pip are not on the loader's path; this finds them.
    onnxruntime.preload_dlls()
    options = {"gpu_mem_limit": GPU_MEMORY_LIMIT_BYTES, "arena_extend_strategy": "kSameAsRequested"}
    return [(PROVIDERS[device], options), cpu]
