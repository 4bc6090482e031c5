from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagesched_predictor.prior import LEVELS, POPULATION, Prior, to_distribution
from sagesched_predictor.ring import FloatMatrix


class ShiftedHead:
    """Says ln(100) at the middle; one unit more for its one model; wider levels than the prior's."""

    levels = (0.1, 0.5, 0.9)
    models = ("known",)
    representation_size = 2

    def run(
        self, embeddings: FloatMatrix, vectors: FloatMatrix, models: npt.NDArray[np.int64]
    ) -> tuple[FloatMatrix, FloatMatrix]:
        middle = np.log(100) + (models != POPULATION)
        quantiles = middle[:, None] + np.array([-1.0, 0.0, 1.0])
        return quantiles.astype(np.float32), embeddings[:, :2]


def ask(prior: Prior, *models: str) -> FloatMatrix:
    n = len(models)
    return prior.predict(np.ones((n, 4), np.float32), np.zeros((n, 3), np.float32), models)


def test_a_model_that_it_was_not_trained_with_gets_the_population() -> None:
    prior = Prior(ShiftedHead())
    known, unknown = ask(prior, "known", "some other")
    middle = LEVELS.index(0.5)
    assert known[middle] == pytest.approx(np.log(100) + 1)
    assert unknown[middle] == pytest.approx(np.log(100))
    assert prior.knows("known")
    assert not prior.knows("some other")


def test_levels_of_another_network_are_brought_to_ours() -> None:
    (row,) = ask(Prior(ShiftedHead()), "x")
    assert row.shape == (len(LEVELS),)
    assert row[LEVELS.index(0.1)] == pytest.approx(np.log(100) - 1)
    assert row[LEVELS.index(0.3)] == pytest.approx(np.log(100) - 0.5)
    assert row[0] == pytest.approx(np.log(100) - 1)


def test_the_representation_is_handed_on() -> None:
    prior = Prior(ShiftedHead())
    embeddings = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert np.array_equal(prior.represent(embeddings, np.zeros((2, 3), np.float32)), embeddings[:, :2])
    assert prior.representation_size == 2


@given(hnp.arrays(np.float32, (3, len(LEVELS)), elements=st.floats(width=32)))
def test_whatever_a_network_says_becomes_quantiles(raw: FloatMatrix) -> None:
    class WildHead(ShiftedHead):
        levels = LEVELS

        def run(
            self, embeddings: FloatMatrix, vectors: FloatMatrix, models: npt.NDArray[np.int64]
        ) -> tuple[FloatMatrix, FloatMatrix]:
            return raw, embeddings[:, :2]

    quantiles = ask(Prior(WildHead()), "a", "b", "c")
    assert np.isfinite(quantiles).all()
    assert (quantiles >= 0).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    for row in quantiles:
        assert to_distribution(row).tokens[0] >= 1


def test_a_distribution_has_the_quantiles_that_it_was_made_of() -> None:
    quantiles = np.log(np.linspace(20, 900, len(LEVELS)))
    distribution = to_distribution(quantiles)
    for level in (0.1, 0.5, 0.9):
        exact = np.exp(quantiles[LEVELS.index(level)])
        assert distribution.quantile(level) == pytest.approx(exact, rel=0.05)
