"""What a prediction costs: encoder and search, in milliseconds per prompt.

    python bench/predictor_latency.py
    python bench/predictor_latency.py --tokens 128 --rounds 50

Encoder: `Encoder.embed` on prompts of `--tokens` tokens each (tokenizing included), by precision, threads and
batch. Wall time is what a request waits; CPU time is what the rest of the pod does without, and is the
steadier of the two on a busy machine. Search: from a ready embedding to a distribution, over a full history.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the worker does, and before numpy looks

import numpy as np

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.training.export import export_encoder

BATCHES = (1, 8, 16)
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


@dataclass(frozen=True)
class Timing:
    """Milliseconds per prompt over the rounds."""

    wall_median: float
    wall_p99: float
    cpu_median: float

    def __str__(self) -> str:
        return f"{self.wall_median:10.2f}{self.wall_p99:10.2f}{self.cpu_median:10.2f}"


class OneVector:
    """Stands in for the encoder where only what follows it is timed: a new direction for every prompt."""

    def __init__(self, dimension: int) -> None:
        self._rng = np.random.default_rng(1)
        self._dimension = dimension

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Random unit vectors."""
        return random_unit_vectors(self._rng, len(texts), self._dimension)


def random_unit_vectors(rng: np.random.Generator, num: int, dimension: int) -> FloatMatrix:
    vectors = rng.normal(size=(num, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def timed(run: Callable[[], object], num_prompts: int, rounds: int) -> Timing:
    for _ in range(2):
        run()
    wall, cpu = [], []
    for _ in range(rounds):
        wall_from, cpu_from = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - wall_from)
        cpu.append(time.process_time() - cpu_from)
    scale = 1e3 / num_prompts
    return Timing(
        float(np.median(wall)) * scale, float(np.percentile(wall, 99)) * scale, float(np.median(cpu)) * scale
    )


def time_encoder(tokens: int, rounds: int) -> None:
    print(f"\nencoder, prompts of {tokens} tokens\n{'precision':>10s}{'threads':>8s}{'batch':>7s}{HEADINGS}")
    rng = np.random.default_rng(0)
    for precision in ("fp32", "int8"):
        artifact = EncoderArtifact.load(export_encoder(precision=precision))
        for threads in (1, 2):
            encoder = Encoder(artifact, EncoderOptions(threads=threads))
            for batch in BATCHES:
                # Every word is one token; two more open and close the prompt.
                texts = [" ".join(rng.choice(WORDS, size=tokens - 2)) for _ in range(batch)]
                timing = timed(lambda e=encoder, t=texts: e.embed(t), batch, rounds)  # type: ignore[misc]
                print(f"{precision:>10s}{threads:8d}{batch:7d}{timing}", flush=True)


def time_search(num_records: int, rounds: int) -> None:
    print(f"\nsearch and distribution, {num_records} records\n{'batch':>25s}{HEADINGS}")
    dimension = 384
    rng = np.random.default_rng(0)
    history = History(dimension, size=num_records)
    lengths = np.maximum(1, rng.lognormal(5.5, 0.9, size=num_records)).astype(int)
    for vector, length in zip(random_unit_vectors(rng, num_records, dimension), lengths, strict=True):
        history.ring("").append(vector, output_tokens=int(length), prompt_tokens=50, censored=False)
    predictor = Predictor(OneVector(dimension), history)
    for batch in BATCHES:
        numbers = iter(range(10**9))
        timing = timed(
            lambda b=batch, n=numbers: predictor.predict(  # type: ignore[misc]
                [PromptFeatures(prompt=str(next(n)), prompt_tokens=40) for _ in range(b)]
            ),
            batch,
            5 * rounds,
        )
        print(f"{batch:25d}{timing}")
    number = iter(range(10**9))
    observed = timed(
        lambda: predictor.observe(
            PromptFeatures(prompt=str(next(number)), prompt_tokens=40),
            Outcome(output_tokens=9, censored=False),
        ),
        1,
        5 * rounds,
    )
    print(f"{'observe':>25s}{observed}")


HEADINGS = f"{'wall p50':>10s}{'wall p99':>10s}{'cpu p50':>10s}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[32, 128], help="prompt lengths, at most 256"
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--records", type=int, default=10_000)
    parsed = parser.parse_args(arguments)
    print(f"{platform.processor() or platform.machine()}, milliseconds per prompt, {parsed.rounds} rounds")
    for tokens in parsed.tokens:
        time_encoder(tokens, parsed.rounds)
    time_search(parsed.records, parsed.rounds)


if __name__ == "__main__":
    main()
