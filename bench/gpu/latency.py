"""What a prediction costs on a GPU that an engine keeps busy, beside what it costs on the CPU.

    python bench/gpu/latency.py --gpu ARTIFACT --cpu ARTIFACT
    python bench/gpu/latency.py --cpu ARTIFACT          without a GPU: the CPU's figures, and it says so

Timed is what the gateway's predictor does for prompts it has not seen: tokenize, encode, head, search over
10,000 records and blend, in batches of 1, 8 and 16 prompts of 128 tokens. "Busy" repeats it while another
process multiplies large matrices on the same device without a pause, which takes the device as an engine in
its prefill does; it needs nothing but onnxruntime. See `run.sh` for a machine that has only its own Python.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the worker does, and before numpy looks

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.runtime import PROVIDERS

BATCHES = (1, 8, 16)
TOKENS = 128
WORDS = (
    "please",
    "write",
    "list",
    "explain",
    "code",
    "test",
    "short",
    "story",
    "river",
    "number",
    "city",
    "why",
)
LOAD_SIZE = {"GPU": 8192, "CPU": 1024}


class _Fixed:
    """Embeds at once, so that ten thousand records are there in seconds; then hands over to the encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.filling = True
        self._rng = np.random.default_rng(0)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        if not self.filling:
            return self.encoder.embed(texts)
        vectors = self._rng.normal(size=(len(texts), self.encoder.dimension)).astype(np.float32)
        unit: FloatMatrix = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def a_full_predictor(folder: Path, device: str, records: int) -> tuple[Predictor, Encoder]:
    artifact = EncoderArtifact.load(folder)
    encoder = Encoder(artifact, EncoderOptions(device=device))
    fixed = _Fixed(encoder)
    predictor = Predictor(fixed, History(encoder.dimension, size=records), load_prior(artifact))
    lengths = np.random.default_rng(1).lognormal(5.5, 0.9, size=records)
    for number, length in enumerate(lengths):
        features = PromptFeatures(prompt=f"record {number}", prompt_tokens=50, max_tokens=4096)
        predictor.observe(features, Outcome(output_tokens=int(max(1, length)), censored=False))
    fixed.filling = False
    return predictor, encoder


def times(predictor: Predictor, batch: int, rounds: int, seed: int) -> tuple[float, float]:
    """Median and 99th percentile of one call, milliseconds; another seed gives prompts that are new again."""
    rng = np.random.default_rng([batch, seed])
    taken = []
    for number in range(rounds + 5):
        texts = [f"{seed} {number} " + " ".join(rng.choice(WORDS, size=TOKENS - 4)) for _ in range(batch)]
        prompts = [PromptFeatures(prompt=text, prompt_tokens=TOKENS, max_tokens=4096) for text in texts]
        started_at = time.perf_counter()
        predictor.predict(prompts)
        taken.append(1e3 * (time.perf_counter() - started_at))
    return float(np.median(taken[5:])), float(np.percentile(taken[5:], 99))


@contextmanager
def busy(device: str) -> Iterator[None]:
    """Another process keeps the device busy."""
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    load = context.Process(target=_multiply, args=(device, started), daemon=True)
    load.start()
    started.wait(60)
    try:
        yield
    finally:
        load.terminate()
        load.join()


def _multiply(device: str, started: object) -> None:
    size, kind = LOAD_SIZE[device], TensorProto.FLOAT16 if device == "GPU" else TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, kind, [size, size]) for name in ("a", "b")]
    nodes = [helper.make_node("MatMul", ["a", "a"], ["c"]), helper.make_node("MatMul", ["c", "a"], ["b"])]
    graph = helper.make_graph(nodes, "load", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if device == "GPU":
        onnxruntime.preload_dlls()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=list(dict.fromkeys([PROVIDERS[device], PROVIDERS["CPU"]]))
    )
    value = np.zeros((size, size), dtype=np.float16 if device == "GPU" else np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input(
        "a", onnxruntime.OrtValue.ortvalue_from_numpy(value, "cuda" if device == "GPU" else "cpu", 0)
    )
    binding.bind_output("b", "cuda" if device == "GPU" else "cpu")
    started.set()  # type: ignore[attr-defined]
    while True:
        session.run_with_iobinding(binding)


def measure(folder: Path, device: str, records: int, rounds: int) -> None:
    predictor, encoder = a_full_predictor(folder, device, records)
    if encoder.fallback:
        print(f"CUDA was not run: {encoder.fallback}.")
        return
    print(f"\n{encoder.provider}, {records} records, prompts of {TOKENS} tokens, ms per call")
    print(f"{'batch':>8s}{'idle p50':>12s}{'p99':>10s}{'busy p50':>12s}{'p99':>10s}")
    for batch in BATCHES:
        idle = times(predictor, batch, rounds, 0)
        with busy(device):
            loaded = times(predictor, batch, rounds, 1)
        print(f"{batch:8d}{idle[0]:12.2f}{idle[1]:10.2f}{loaded[0]:12.2f}{loaded[1]:10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", type=Path, metavar="ARTIFACT", help="exported with --precision fp16 or fp32")
    parser.add_argument("--cpu", type=Path, metavar="ARTIFACT", help="exported with --precision int8")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    parsed = parser.parse_args()
    if parsed.gpu is None:
        print("CUDA was not run: no --gpu artifact was named.")
    else:
        measure(parsed.gpu, "GPU", parsed.records, parsed.rounds)
    if parsed.cpu is not None:
        measure(parsed.cpu, "CPU", parsed.records, parsed.rounds)


if __name__ == "__main__":
    main()
