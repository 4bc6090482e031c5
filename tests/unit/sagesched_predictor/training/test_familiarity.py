"""Prompts unlike those that a prior was trained on get wider predictions, and no longer ones."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from sagesched_predictor.prior import LEVELS
from sagesched_predictor.request_features import request_vectors
from sagesched_predictor.runtime import start_session
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.familiarity import (
    NUM_ANCHORS,
    STRANGENESS,
    anchors_of,
    with_strangeness,
)
from sagesched_predictor.training.fitting import FitOptions, Fitted, fit
from sagesched_predictor.training.head_graph import build_head
from sagesched_predictor.training.network import FloatMatrix
from sagesched_predictor.training.shape import DIMENSION


def unit(rows: np.ndarray) -> FloatMatrix:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_anchors_lie_where_the_prompts_lie() -> None:
    rng = np.random.default_rng(0)
    kinds = unit(rng.normal(size=(5, DIMENSION)))
    prompts = unit(kinds[rng.integers(5, size=600)] + 0.02 * rng.normal(size=(600, DIMENSION)))
    anchors = anchors_of(prompts)
    assert anchors.shape == (NUM_ANCHORS, DIMENSION)
    assert np.linalg.norm(anchors, axis=1) == pytest.approx(1, abs=1e-5)
    assert (kinds @ anchors.T).max(axis=1).min() > 0.98
    assert np.array_equal(anchors, anchors_of(prompts))


def test_fewer_prompts_than_anchors_are_anchors_themselves() -> None:
    prompts = unit(np.random.default_rng(0).normal(size=(3, DIMENSION)))
    assert (prompts @ anchors_of(prompts).T).max(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_stranger_is_predicted_wider_and_no_longer() -> None:
    anchors = unit(np.eye(1, DIMENSION))
    known, stranger = unit(np.eye(1, DIMENSION)), unit(np.eye(1, DIMENSION, 1))
    normal = NormalDist(5, 0.6)
    quantiles = np.array([[normal.inv_cdf(level) for level in LEVELS]], dtype=np.float32)
    assert with_strangeness(quantiles, known, anchors) == pytest.approx(quantiles, abs=1e-5)
    # Variances add up, and a lognormal's mean, exp(m + s^2 / 2), is kept; of a wholly unfamiliar kind the
    # variance is STRANGENESS squared.
    wide = NormalDist(5 - STRANGENESS**2 / 2, np.hypot(0.6, STRANGENESS))
    expected = np.array([[wide.inv_cdf(level) for level in LEVELS]])
    assert with_strangeness(quantiles, stranger, anchors) == pytest.approx(expected, abs=1e-4)


@pytest.fixture(scope="module")
def fitted(toy_examples: list[TrainingExample]) -> Fitted:
    table = np.random.default_rng(0).normal(size=(len(toy_examples), 12)).astype(np.float32)
    return fit(toy_examples, table, range(len(toy_examples)), FitOptions(steps=60, batch=32))


def test_the_exported_head_says_what_training_says(
    fitted: Fitted, toy_examples: list[TrainingExample], tmp_path: Path
) -> None:
    names = {model: model for model in fitted.models}
    path = tmp_path / "head.onnx"
    path.write_bytes(build_head(fitted, names).SerializeToString())
    session = start_session(path, device="CPU", threads=1)
    embeddings = unit(np.random.default_rng(1).normal(size=(len(toy_examples), DIMENSION)))
    vectors = request_vectors([example.features() for example in toy_examples])
    for number, name in enumerate((None, *names)):
        inputs = {
            "embedding": embeddings,
            "features": vectors,
            "model": np.full(len(vectors), number, dtype=np.int64),
        }
        (exported,) = session.run(["log_quantiles"], inputs)
        expected, _ = fitted.predict(embeddings, vectors, name)
        assert np.abs(exported - expected).max() < 1e-3
        assert (np.diff(exported, axis=1) >= 0).all()
