"""What a replayed policy may know."""

from collections.abc import Sequence

import numpy as np
import pytest

from sagesched_emulator.dataset import Record
from sagesched_emulator.trace import TraceRequest
from sagesched_predictor import LengthDistribution
from sagesched_predictor.ring import FloatMatrix
from sagesched_replay.knowledge import (
    Ignorance,
    OpenArtifact,
    OtherAnswers,
    RememberedEmbeddings,
    learned,
    model_of,
)


class ByFirstLetter:
    """An encoder to which prompts are equal when they begin alike."""

    def __init__(self) -> None:
        self.num_texts = 0

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        self.num_texts += len(texts)
        vectors = np.zeros((len(texts), 26), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row, ord(text[0]) - ord("a")] = 1.0
        return vectors


def an_artifact() -> OpenArtifact:
    return OpenArtifact(RememberedEmbeddings(ByFirstLetter()), 26)


def a_request(prompt: str, output: int, max_tokens: int = 2048) -> TraceRequest:
    return TraceRequest(
        id=prompt,
        prompt=prompt,
        prompt_tokens=4,
        max_tokens=max_tokens,
        arrival_s=0.0,
        output_tokens=output,
        known=LengthDistribution.from_samples([3, 4]),
    )


def test_other_answers_are_known_and_the_one_that_happens_is_not() -> None:
    assert OtherAnswers().predict(a_request("a", 99)) == LengthDistribution.from_samples([3, 4])
    assert Ignorance().predict(a_request("a", 99)) is None


def test_the_predictor_learns_from_answers_as_they_finish() -> None:
    knowledge = learned(an_artifact(), [], seed=0)
    assert knowledge.pool() is None
    assert knowledge.predict(a_request("a new one", 1)) is None
    for number in range(5):
        knowledge.observe(a_request(f"a{number}", 50))
        knowledge.observe(a_request(f"b{number}", 500))
    short, long = (knowledge.predict(a_request(f"{letter} new one", 1)) for letter in "ab")
    assert short is not None
    assert long is not None
    assert short.mean < 150 < 300 < long.mean


def test_the_first_pool_wide_lengths_are_told_when_there_are_enough() -> None:
    knowledge = learned(an_artifact(), [], seed=0)
    news = [knowledge.observe(a_request(f"a{number}", 10 + number)) for number in range(8)]
    assert sum(told is not None for told in news) == 1


def test_a_warm_predictor_has_seen_one_answer_of_each_prompt() -> None:
    warm = [Record(prompt=f"a{n}", prompt_tokens=3, output_samples=(100, 100, 100)) for n in range(6)]
    knowledge = learned(an_artifact(), warm, seed=0)
    assert knowledge.pool() == LengthDistribution.point(100)
    known = knowledge.predict(a_request("a!", 1))
    assert known is not None
    assert (known.quantile(0.01), known.quantile(0.99)) == pytest.approx((100, 100))


def test_cut_off_answers_are_not_taken_for_lengths() -> None:
    warm = [Record(prompt=f"a{n}", prompt_tokens=3, output_samples=(900,), max_tokens=64) for n in range(6)]
    assert learned(an_artifact(), warm, seed=0).pool() is None


def test_the_encoder_runs_once_per_text() -> None:
    encoder = ByFirstLetter()
    remembered, done = RememberedEmbeddings(encoder), list[int]()
    remembered.prepare(["a", "b", "a"], done.append)
    assert remembered.embed(["b", "a"]).shape == (2, 26)
    assert encoder.num_texts == 2
    assert done == [2]


def test_one_engine_serves_one_model() -> None:
    lines = [Record(prompt="a", output_tokens=1, model="m"), a_request("b", 1)]
    assert model_of(lines) == "replayed"
    assert model_of(lines[:1]) == "m"
    assert model_of(lines[1:]) == "replayed"
