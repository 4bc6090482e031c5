"""What a prediction costs on a GPU that an engine keeps busy, beside what it costs on the CPU.

    python bench/gpu/latency.py --gpu ARTIFACT --cpu ARTIFACT
    python bench/gpu/latency.py --gpu ARTIFACT --engine-python python3      beside an 8B-shaped engine
    python bench/gpu/latency.py --cpu ARTIFACT          without a GPU: the CPU's figures, and it says so

Timed is what the gateway's predictor does for prompts it has not seen: tokenize, encode, head, search over
10,000 records and blend, in batches of 1, 8 and 16 prompts of 128 tokens; of one prompt also each piece by
itself. "Busy" repeats it while another process takes the same device without a pause: by multiplying large
matrices, which needs nothing but onnxruntime, or as `engine.py` does it, an engine's decode and prefill steps
of a model of 8 billion parameters, where a Python with torch is named; then also what the predictor costs the
engine. See `run.sh` for a machine that has only its own Python.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the worker does, and before numpy looks

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.device_search import search_on_device
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History, nearest
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.request_features import request_vectors
from sagesched_predictor.ring import FloatArray, FloatMatrix, Ring
from sagesched_predictor.runtime import PROVIDERS, is_recorded
from sagesched_predictor.series import Series

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
DECAY = 0.6
LOAD_SIZE = {"GPU": 8192, "CPU": 1024}
ALONE_S = 3.0
BESIDE_S = 10.0
PER_S = 40.0


class _Fixed:
    """Embeds at once, so that ten thousand records are there in seconds; then hands over to the encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.filling = True
        self._rng = np.random.default_rng(0)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        if not self.filling:
            return self.encoder.embed(texts)
        return like_prompts(self._rng, len(texts), self.encoder.dimension)


def like_prompts(rng: np.random.Generator, num: int, dimension: int) -> FloatMatrix:
    """Random unit vectors that are as unequal along their directions as embeddings of prompts are.

    Of 128 numbers the leading 32 hold 0.84 of the squared length; with the shipped encoder, on the prompts of
    CASTILLO, they hold 0.84 as well.
    """
    vectors = rng.normal(size=(num, dimension)) * (1 + np.arange(dimension)) ** -DECAY
    unit: FloatMatrix = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def a_full_predictor(folder: Path, device: str, records: int) -> tuple[Predictor, Encoder, Ring]:
    artifact = EncoderArtifact.load(folder)
    encoder = Encoder(artifact, EncoderOptions(device=device))
    fixed, history = _Fixed(encoder), History(encoder.dimension, size=records)
    predictor = Predictor(fixed, history, load_prior(artifact), search=search_on_device(encoder, print))
    lengths = np.random.default_rng(1).lognormal(5.5, 0.9, size=records)
    for number, length in enumerate(lengths):
        features = PromptFeatures(prompt=f"record {number}", prompt_tokens=50, max_tokens=4096)
        predictor.observe(features, Outcome(output_tokens=int(max(1, length)), censored=False))
    fixed.filling = False
    return predictor, encoder, history.ring(history.keys[0])


def new_prompts(batch: int, rounds: int, seed: int) -> Iterator[list[PromptFeatures]]:
    """Prompts that nobody has seen; another seed gives other ones."""
    rng = np.random.default_rng([batch, seed])
    for number in range(rounds):
        texts = [f"{seed} {number} " + " ".join(rng.choice(WORDS, size=TOKENS - 4)) for _ in range(batch)]
        yield [PromptFeatures(prompt=text, prompt_tokens=TOKENS, max_tokens=4096) for text in texts]


def timed(run: Callable[[list[PromptFeatures]], object], batch: int, rounds: int, seed: int) -> list[float]:
    """Milliseconds of each call, the first five left out."""
    taken = []
    for prompts in new_prompts(batch, rounds + 5, seed):
        started_at = time.perf_counter()
        run(prompts)
        taken.append(1e3 * (time.perf_counter() - started_at))
    return taken[5:]


def print_pieces(encoder: Encoder, ring: Ring, rounds: int) -> None:
    """Median of each piece of one prediction by itself, and of those together that the paper times."""
    series, vector, nothing = Series(ring, 0.8), ring.vectors[:1], np.zeros(1)
    head, device = series.head, search_on_device(encoder, print)
    assert head is not None, "it is fitted at once"
    others = itertools.cycle(like_prompts(np.random.default_rng(2), 1000, encoder.dimension))

    def here(prompts: list[PromptFeatures]) -> FloatArray:
        embedding = encoder.embed([prompts[0].prompt])
        nearest(ring, embedding, 0.8)
        return head.predict(embedding, vector, nothing)

    def in_one_run(prompts: list[PromptFeatures]) -> FloatArray:
        assert device is not None
        embedding = device.run(b"key", prompts[0].prompt, vector, series)
        compared = device.compared(b"key", series)
        assert embedding is not None, "the series is full"
        assert compared is not None, "it was compared just now"
        said = compared.said_by(head, vector)
        assert said is not None, "by this head, of this request"
        return head.quantiles(said, nothing)

    pieces: dict[str, Callable[[list[PromptFeatures]], object]] = {
        "tokenizing": lambda prompts: encoder.tokenizer.encode([prompts[0].prompt]),
        "tokenizing and network": lambda prompts: encoder.embed([prompts[0].prompt]),
        "search": lambda _: nearest(ring, next(others)[None], 0.8),
        "head": lambda _: head.predict(next(others)[None], vector, nothing),
        "all of these, one after the other": here,
        "features": request_vectors,
    }
    if device is not None:
        pieces["all of these, search and head in the network's run"] = in_one_run
        apart = [np.abs(here(prompts) - in_one_run(prompts)).max() for prompts in new_prompts(1, 50, 6)]
        print(f"search and head here or in the network's run: quantiles of ln tokens {max(apart):.1e} apart")
    medians = {name: float(np.median(timed(run, 1, rounds, 2))) for name, run in pieces.items()}
    print("one prompt, p50 of each piece:", ", ".join(f"{name} {ms:.3f}" for name, ms in medians.items()))


class Engine:
    """`engine.py` in a process of its own."""

    def __init__(self, python: str) -> None:
        command = [python, str(Path(__file__).with_name("engine.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._said()

    def steps_so_far(self) -> str:
        """Of the time since it was last asked."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        steps = json.loads(self._said())
        return f"p50 {steps['p50']:.2f}, p99 {steps['p99']:.2f}, {steps['per_s']:.1f} a second"

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _said(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the engine did not start; does its Python have torch and this machine a GPU?")
        return line


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


def measure(
    folder: Path, device: str, records: int, rounds: int, engine_python: str | None = None
) -> FloatMatrix | None:
    """Print a table; returns the embeddings of some prompts, None where the device cannot be had."""
    predictor, encoder, ring = a_full_predictor(folder, device, records)
    if encoder.fallback:
        print(f"CUDA was not run: {encoder.fallback}.")
        return None
    how = ", kernels replayed" if is_recorded(encoder.session) else ""
    print(f"\n{encoder.provider}{how}, {records} records, prompts of {TOKENS} tokens, ms per call")
    print_pieces(encoder, ring, rounds)
    print(f"{'batch':>8s}{'idle p50':>12s}{'p99':>10s}{'busy p50':>12s}{'p99':>10s}")
    for batch in BATCHES:
        idle = timed(predictor.predict, batch, rounds, 0)
        with busy(device):
            loaded = timed(predictor.predict, batch, rounds, 1)
        print(f"{batch:8d}{_told(idle)}  {_told(loaded)}", flush=True)
    if engine_python is not None:
        beside_an_engine(predictor, Engine(engine_python), rounds)
    return encoder.embed([prompt.prompt for (prompt,) in new_prompts(1, 50, 4)])


def beside_an_engine(predictor: Predictor, engine: Engine, rounds: int) -> None:
    """What predictions cost beside an engine, at the rate of 40 prompts a second, and what they cost it."""
    try:
        time.sleep(ALONE_S)
        engine.steps_so_far()
        time.sleep(ALONE_S)
        print(f"\nengine alone, ms per step: {engine.steps_so_far()}")

        for batch in BATCHES:
            taken = []
            for prompts in new_prompts(batch, min(rounds, int(BESIDE_S * PER_S / batch)), 3):
                started_at = time.perf_counter()
                predictor.predict(prompts)
                taken.append(1e3 * (time.perf_counter() - started_at))
                time.sleep(max(0.0, batch / PER_S - taken[-1] / 1e3))
            print(f"{batch:8d}{_told(taken)}   the engine's steps: {engine.steps_so_far()}", flush=True)
    finally:
        engine.close()


def _told(taken: Sequence[float]) -> str:
    return f"{np.median(taken):12.2f}{np.percentile(taken, 99):10.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", type=Path, metavar="ARTIFACT", help="exported with --precision fp16 or fp32")
    parser.add_argument("--cpu", type=Path, metavar="ARTIFACT", help="exported with --precision int8")
    parser.add_argument("--engine-python", metavar="PYTHON", help="a Python with torch, for the load")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    parsed = parser.parse_args()
    on_gpu = on_cpu = None
    if parsed.gpu is None:
        print("CUDA was not run: no --gpu artifact was named.")
    else:
        on_gpu = measure(parsed.gpu, "GPU", parsed.records, parsed.rounds, parsed.engine_python)
    if parsed.cpu is not None:
        on_cpu = measure(parsed.cpu, "CPU", parsed.records, parsed.rounds)
    if on_gpu is not None and on_cpu is not None:
        cosines = (on_gpu * on_cpu).sum(axis=1)
        print(
            f"\ncosine of both embeddings of a prompt: mean {cosines.mean():.4f}, least {cosines.min():.4f}"
        )


if __name__ == "__main__":
    main()
