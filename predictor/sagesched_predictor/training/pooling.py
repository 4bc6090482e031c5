"""Pooled layers of many prompts, computed once and kept in the cache: the slow part of training."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx

from sagesched_predictor.artifact import file_sha256
from sagesched_predictor.encoder import FloatMatrix, batches
from sagesched_predictor.runtime import start_session
from sagesched_predictor.tokenizer import PromptTokenizer
from sagesched_predictor.training.quantization import quantize
from sagesched_predictor.training.trunk_graph import build_pooled_encoder
from sagesched_predictor.training.weights import WeightSource

# Longer prompts keep head and tail. More tokens cost time in proportion and told lengths no better.
MAX_PROMPT_TOKENS = 128


def pooled_layers(
    prompts: Sequence[str],
    cache: Path,
    threads: int,
    on_done: Callable[[int], object] = lambda number: None,
    encoder: onnx.ModelProto | None = None,
) -> FloatMatrix:
    """Pooled layers, float32 (len(prompts), width), by the int8 encoder that will be used afterwards.

    Args:
        prompts: distinct texts.
        cache: folder for the result, named by prompts and network.
        threads: of the encoder.
        on_done: called with the number of prompts done since the last call.
        encoder: another than the product's, as `build_pooled_encoder` makes it.

    Raises:
        ArtifactError: the weights cannot be used.
        OSError: the cache cannot be written.
    """
    source = WeightSource.find()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".pooling-") as scratch:
        network = Path(scratch) / "pooled.onnx"
        quantize(encoder or build_pooled_encoder(source.weights(), source.config()), network)
        place = cache / f"pooled-{_digest(prompts, network)}.npy"
        if not place.is_file():
            made = Path(scratch) / "made.npy"
            np.save(made, _computed(prompts, network, source, threads, on_done))
            made.rename(place)
    pooled: FloatMatrix = np.load(place).astype(np.float32)
    return pooled


def _computed(
    prompts: Sequence[str],
    network: Path,
    source: WeightSource,
    threads: int,
    on_done: Callable[[int], object],
) -> np.ndarray:
    session = start_session(network, device="CPU", threads=threads)
    ids = PromptTokenizer(source.tokenizer_path, MAX_PROMPT_TOKENS).encode(prompts)
    pooled = np.zeros((len(prompts), session.get_outputs()[0].shape[-1]), dtype=np.float16)
    for batch in batches([len(row) for row in ids]):
        width = max(len(ids[i]) for i in batch)
        tokens = np.zeros((len(batch), width), dtype=np.int64)
        mask = np.zeros_like(tokens)
        for row, i in enumerate(batch):
            tokens[row, : len(ids[i])] = ids[i]
            mask[row, : len(ids[i])] = 1
        (pooled[batch],) = session.run(None, {"input_ids": tokens, "attention_mask": mask})
        on_done(len(batch))
    return pooled


def _digest(prompts: Sequence[str], network: Path) -> str:
    digest = hashlib.sha256(file_sha256(network).encode())
    for prompt in prompts:
        digest.update(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()[:24]
