"""What the loss makes of cut-off answers, and what features that never vary do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sagesched_predictor.errors import DatasetError
from sagesched_predictor.prior import LEVELS
from sagesched_predictor.request_features import NAMES, request_vectors
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.fitting import FEATURE_LIMIT, FitOptions, fit
from sagesched_predictor.training.network import FloatMatrix

OPTIONS = FitOptions(steps=400, batch=32, dropout=0.0)
MIDDLE = LEVELS.index(0.5)


def one_kind(lengths: tuple[int, ...], cap: int = 0) -> list[TrainingExample]:
    return [
        TrainingExample(prompt=f"p{n}", dataset="d", model="m", lengths=lengths, cap=cap, prompt_tokens=5)
        for n in range(20)
    ]


@pytest.fixture(scope="module")
def table() -> FloatMatrix:
    return np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32)


def median(examples: list[TrainingExample], table: FloatMatrix) -> float:
    fitted = fit(examples, table, [number % 20 for number in range(len(examples))], OPTIONS)
    vectors = request_vectors([example.features() for example in examples[:20]])
    quantiles, _ = fitted.predict(fitted.embed(table), vectors)
    return float(np.exp(quantiles[:, MIDDLE]).mean())


def test_cut_off_answers_are_not_taken_for_lengths(table: FloatMatrix) -> None:
    natural = (100, 150, 200, 250, 300, 350, 400)
    cut = tuple(min(length, 120) for length in natural)
    naive = median([*one_kind(natural), *one_kind(cut)], table)
    censored = median([*one_kind(natural), *one_kind(cut, cap=120)], table)
    assert naive < 160 < 190 < censored < 270
    assert median(one_kind(natural), table) == pytest.approx(250, rel=0.15)


def test_a_feature_that_never_varied_has_no_say(table: FloatMatrix) -> None:
    examples = one_kind((100, 120))
    fitted = fit(examples, table, range(20), replace(OPTIONS, steps=20))
    assert fitted.feature_scale[NAMES.index("log_max_tokens")] == 0
    wild = np.full((1, len(NAMES)), 1e6, dtype=np.float32)
    assert np.abs(fitted.standardised(wild)).max() <= FEATURE_LIMIT
    assert fitted.standardised(wild)[0, NAMES.index("log_max_tokens")] == 0


def test_prompts_that_are_all_the_same_are_refused(table: FloatMatrix) -> None:
    same = [replace(example, prompt="p") for example in one_kind((100, 150))]
    with pytest.raises(DatasetError, match="prompts are all the same"):
        fit(same, table, [0] * 20, replace(OPTIONS, steps=3))


def test_an_unknown_model_is_taken_for_the_mean_of_the_named_ones(table: FloatMatrix) -> None:
    """Where each kind of prompt has models of its own, that is not the mean of all answers."""
    examples = [
        replace(example, model=model)
        for model, lengths in (("a", (100,)), ("b", (400,)), ("zeroeval/c", (3000,)))
        for example in one_kind(lengths)
    ]
    fitted = fit(examples, table, [number % 20 for number in range(60)], OPTIONS)
    embeddings = fitted.embed(table)
    vectors = request_vectors([example.features() for example in examples[:20]])

    def middle(model: str | None) -> float:
        quantiles, _ = fitted.predict(embeddings, vectors, model)
        return float(quantiles[:, MIDDLE].mean())

    assert middle("a") == pytest.approx(np.log(100), abs=0.25)
    assert middle("b") == pytest.approx(np.log(400), abs=0.25)
    assert middle(None) == middle("never heard of")
    assert middle(None) == pytest.approx((middle("a") + middle("b")) / 2, abs=1e-3)
