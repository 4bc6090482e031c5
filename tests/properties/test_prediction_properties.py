from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagesched_predictor.blend import SOURCES, Blend, weights_of
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.prior import LEVELS
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.survival import product_limit

sizes_of_sources = st.lists(st.floats(0, 1e6), min_size=len(SOURCES), max_size=len(SOURCES)).filter(
    lambda sizes: sum(sizes) > 1e-3
)
merits = st.lists(st.floats(-2, 2), min_size=len(SOURCES), max_size=len(SOURCES))
log_quantiles = st.lists(st.floats(0, 14), min_size=len(LEVELS), max_size=len(LEVELS)).map(sorted)


@given(sizes_of_sources, merits)
def test_weights_sum_to_one_and_the_silent_have_none(sizes: list[float], merits: list[float]) -> None:
    weights = weights_of(np.array(sizes), np.array(merits))
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert (weights[np.array(sizes) == 0] == 0).all()


@given(
    sizes_of_sources,
    st.lists(log_quantiles, min_size=len(SOURCES), max_size=len(SOURCES)),
    st.lists(st.tuples(st.floats(0, 14), st.booleans()), max_size=30),
)
def test_a_blend_stays_among_its_sources_whatever_it_learns(
    sizes: list[float], quantiles: list[list[float]], answers: list[tuple[float, bool]]
) -> None:
    blend, said, rests_on = Blend(LEVELS), np.array(quantiles), np.array(sizes)
    for log_tokens, censored in answers:
        blend.learn(said, rests_on, log_tokens, censored)
    blended = blend.combine(said, rests_on)
    speaking = said[rests_on > 0]
    assert (blended >= speaking.min(axis=0) - 1e-9).all()
    assert (blended <= speaking.max(axis=0) + 1e-9).all()
    assert (np.diff(blended) >= -1e-9).all()


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.booleans(), st.floats(0, 1e6)), min_size=1, max_size=60
    ).filter(lambda rows: sum(weight for *_, weight in rows) > 1e-6)
)
@example([(1e6, False, 0.0), (np.nextafter(1e6, 0), True, 1.0)])
def test_the_product_limit_is_a_distribution_and_never_shorter_than_the_naive_one(
    rows: list[tuple[float, bool, float]],
) -> None:
    values, cut, weights = (np.array(column) for column in zip(*rows, strict=True))
    ordered, mass = product_limit(values, cut.astype(bool), weights)
    assert (np.diff(ordered) >= 0).all()
    assert (mass >= 0).all()
    assert mass.sum() == pytest.approx(1)
    naive = np.average(values, weights=weights)
    assert ordered @ mass >= naive - 1e-6 * max(1, abs(naive))


class HashEncoder:
    """Unit vectors that depend on the text alone."""

    def embed(self, texts: Any) -> FloatMatrix:
        rows = [
            np.random.default_rng(zlib.crc32(text.encode("utf-8", "surrogatepass"))).normal(size=8)
            for text in texts
        ]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)


requests = st.builds(
    PromptFeatures,
    prompt=st.text(max_size=40),
    prompt_tokens=st.integers(0, 2**40),
    max_tokens=st.sampled_from([0, 1, 7, 100, 2**40]),
    model=st.sampled_from(["a", "b"]),
    temperature=st.none() | st.floats(allow_nan=True, allow_infinity=True),
    top_p=st.none() | st.floats(allow_nan=True, allow_infinity=True),
    system_prompt=st.text(max_size=5),
    has_tools=st.booleans(),
    thinking=st.booleans(),
)
outcomes = st.builds(Outcome, output_tokens=st.integers(0, 2**40), censored=st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(requests, outcomes), max_size=60), st.lists(requests, min_size=1, max_size=4))
def test_predictions_are_finite_and_within_the_cap_whatever_was_seen(
    seen: list[tuple[PromptFeatures, Outcome]], asked: list[PromptFeatures]
) -> None:
    predictor = Predictor(HashEncoder(), History(8, size=40))
    for features, outcome in seen:
        predictor.observe(features, outcome)
    for features, prediction in zip(asked, predictor.predict(asked), strict=True):
        distribution = prediction.distribution
        assert (distribution is None) == (prediction.source == "none")
        if distribution is not None:
            assert np.isfinite(distribution.tokens).all()
            assert distribution.tokens[0] >= 1
            assert distribution.weights.sum() == pytest.approx(1)
            if features.max_tokens:
                assert distribution.tokens[-1] <= features.max_tokens
