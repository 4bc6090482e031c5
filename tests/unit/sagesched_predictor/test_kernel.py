from __future__ import annotations

import numpy as np
import pytest

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.kernel import DEFAULT_SHAPE, KernelShape, kernel_distribution, kernel_weights


def cosines(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_without_information_it_is_the_pool_wide_distribution() -> None:
    lengths = np.array([5, 50, 500], dtype=np.int64)
    weights = kernel_weights(cosines(0.3, 0.3, 0.3), np.zeros(3, dtype=bool), np.zeros(3))
    assert weights.times_seen == 0
    assert kernel_distribution(weights, lengths) == LengthDistribution.from_samples(lengths)


def test_worked_by_hand() -> None:
    near = np.array([True, False])
    shape = KernelShape(wide=0.25, spread=1.0, sharp=0.1, prior=3.0)
    weights = kernel_weights(cosines(1.0, 0.5), near, np.array([0.0, 1.0]), shape)
    ratio = np.exp(-0.5 / 0.25 - 1 / 2)  # of the second record to the first
    wide = np.array([1, ratio]) / (1 + ratio)
    assert weights.times_seen == pytest.approx(1)
    assert weights.weights == pytest.approx((np.array([1, 0]) + 3 * wide) / 4)


def test_the_nearer_record_counts_more_and_so_does_the_like_length() -> None:
    by_cosine = kernel_weights(cosines(0.1, 0.3, 0.5), np.zeros(3, dtype=bool), np.zeros(3)).weights
    by_length = kernel_weights(
        cosines(0.2, 0.2, 0.2), np.zeros(3, dtype=bool), np.array([2.0, -1.0, 0.0])
    ).weights
    assert (np.diff(by_cosine) > 0).all()
    assert (np.diff(by_length) > 0).all()


def test_the_same_prompt_often_seen_outweighs_everything() -> None:
    similarities = np.concatenate([np.ones(20), np.full(5000, 0.4)]).astype(np.float32)
    weights = kernel_weights(similarities, similarities >= 0.8, np.zeros(similarities.size))
    assert weights.weights[:20].sum() > 0.95
    assert weights.times_seen == pytest.approx(20)


def test_a_distant_relative_is_not_the_prompt_itself() -> None:
    weights = kernel_weights(cosines(0.85), np.array([True]), np.zeros(1))
    assert weights.times_seen == pytest.approx(np.exp(-0.15 / DEFAULT_SHAPE.sharp), rel=1e-4)
    assert weights.times_seen < 0.01


def test_needs_a_record() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        kernel_weights(cosines(), np.zeros(0, dtype=bool), np.zeros(0))
