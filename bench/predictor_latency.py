"""What a prediction costs: encoder and search, in milliseconds per prompt.

    python bench/predictor_latency.py
    python bench/predictor_latency.py --tokens 128 --rounds 50

Encoder: `Encoder.embed` on prompts of `--tokens` tokens each (tokenizing included), by precision, threads and
batch. Wall time is what a request waits; CPU time is what the rest of the pod does without, and is the
steadier of the two on a busy machine. Search and heads: first each alone, then from a ready embedding to a
distribution, with the prior, a full history and an online head fitted to it. The last table is a whole
prediction, one thread.
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
from gpu.latency import BATCHES, WORDS, like_prompts

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History, nearest
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.request_features import request_vectors
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.series import Series
from sagesched_predictor.series_key import SeriesKey
from sagesched_predictor.training.export import export_encoder

READY = 20_000


@dataclass(frozen=True)
class Timing:
    """Milliseconds per prompt over the rounds."""

    wall_median: float
    wall_p99: float
    cpu_median: float

    def __str__(self) -> str:
        return f"{self.wall_median:10.2f}{self.wall_p99:10.2f}{self.cpu_median:10.2f}"


class Embedded:
    """Stands in for the encoder where only what follows it is timed: a new direction for every prompt."""

    def __init__(self, dimension: int) -> None:
        self._vectors = like_prompts(np.random.default_rng(1), READY, dimension)
        self._num_given = 0

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Random unit vectors, made beforehand."""
        at = self._num_given % (READY - len(texts))
        self._num_given += len(texts)
        return self._vectors[at : at + len(texts)]


class Switched(Embedded):
    """Random vectors until the history is full, the encoder's after that."""

    encoder: Encoder | None = None

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """Unit vectors."""
        return super().embed(texts) if self.encoder is None else self.encoder.embed(texts)


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


def a_full_predictor(embedder: Embedded, artifact: EncoderArtifact, num_records: int) -> Predictor:
    predictor = Predictor(embedder, History(artifact.dimension, size=num_records), load_prior(artifact))
    lengths = np.random.default_rng(0).lognormal(5.5, 0.9, size=num_records)
    for number, length in enumerate(lengths):
        features = PromptFeatures(prompt=f"{' '.join(WORDS)} {number}", prompt_tokens=50)
        predictor.observe(features, Outcome(output_tokens=max(1, int(length)), censored=False))
    return predictor


def time_search(artifact: EncoderArtifact, num_records: int, rounds: int) -> None:
    print(f"\nsearch, prior and online head, {num_records} records\n{'batch':>25s}{HEADINGS}")
    predictor = a_full_predictor(Embedded(artifact.dimension), artifact, num_records)
    numbers = iter(range(10**9))

    def prompts(batch: int) -> list[PromptFeatures]:
        return [
            PromptFeatures(prompt=f"{next(numbers)} {' '.join(WORDS)}", prompt_tokens=40)
            for _ in range(batch)
        ]

    for batch in BATCHES:
        timing = timed(lambda b=batch: predictor.predict(prompts(b)), batch, 5 * rounds)  # type: ignore[misc]
        print(f"{batch:25d}{timing}")
    outcome = Outcome(output_tokens=9, censored=False)
    observed = timed(lambda: predictor.observe(prompts(1)[0], outcome), 1, 5 * rounds)
    print(f"{'observe':>25s}{observed}")


def time_pieces(artifact: EncoderArtifact, num_records: int, rounds: int) -> None:
    print(f"\none prompt, {num_records} records\n{'':>25s}{HEADINGS}")
    rng = np.random.default_rng(0)
    ring = History(artifact.dimension, size=num_records).ring(SeriesKey(""))
    texts = [" ".join(rng.choice(WORDS, size=20)) for _ in range(num_records)]
    vectors = request_vectors([PromptFeatures(prompt=text, prompt_tokens=20) for text in texts])
    embeddings = like_prompts(rng, num_records, artifact.dimension)
    lengths = np.maximum(rng.lognormal(5.5, 0.9, size=num_records), 1.0)
    for embedding, vector, length in zip(embeddings, vectors, lengths, strict=True):
        ring.append(embedding, vector, output_tokens=int(length), prompt_tokens=20, censored=False)
    head, prior = Series(ring, 0.8).head, load_prior(artifact)
    assert head is not None, "it is fitted at once"
    assert prior is not None, "the shipped predictor has one"
    one, vector, nothing = embeddings[:1], vectors[:1], np.zeros(1)
    for name, run in {
        "search": lambda: nearest(ring, one, 0.8),
        "online head": lambda: head.predict(one, vector, nothing),
        "prior": lambda: prior.predict(one, vector, [""]),
    }.items():
        print(f"{name:>25s}{timed(run, 1, 20 * rounds)}")


def time_whole(artifact: EncoderArtifact, tokens: int, num_records: int, rounds: int) -> None:
    print(f"\na whole prediction, prompts of {tokens} tokens, one thread\n{'batch':>25s}{HEADINGS}")
    embedder = Switched(artifact.dimension)
    predictor = a_full_predictor(embedder, artifact, num_records)
    embedder.encoder = Encoder(artifact, EncoderOptions(threads=1))
    rng = np.random.default_rng(0)

    def prompts(batch: int) -> list[PromptFeatures]:
        texts = [" ".join(rng.choice(WORDS, size=tokens - 2)) for _ in range(batch)]
        return [PromptFeatures(prompt=text, prompt_tokens=tokens) for text in texts]

    for batch in BATCHES:
        timing = timed(lambda b=batch: predictor.predict(prompts(b)), batch, 5 * rounds)  # type: ignore[misc]
        print(f"{batch:25d}{timing}", flush=True)


HEADINGS = f"{'wall p50':>10s}{'wall p99':>10s}{'cpu p50':>10s}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[32, 128], help="prompt lengths, at most 128"
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--records", type=int, default=10_000)
    parsed = parser.parse_args(arguments)
    print(f"{platform.processor() or platform.machine()}, milliseconds per prompt, {parsed.rounds} rounds")
    for tokens in parsed.tokens:
        time_encoder(tokens, parsed.rounds)
    artifact = EncoderArtifact.load(export_encoder())
    time_pieces(artifact, parsed.records, parsed.rounds)
    time_search(artifact, parsed.records, parsed.rounds)
    time_whole(artifact, 128, parsed.records, parsed.rounds)


if __name__ == "__main__":
    main()
