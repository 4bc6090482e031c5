from __future__ import annotations

import numpy as np
import pytest

from sagesched_predictor.kernel import KernelShape, kernel_weights


def cosines(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_without_information_all_records_count_alike() -> None:
    assert kernel_weights(cosines(0.3, 0.3, 0.3), np.zeros(3)) == pytest.approx(1 / 3)


def test_worked_by_hand() -> None:
    shape = KernelShape(temperature=0.25, spread=1.0, broadening=2.0, prior=3.0)
    weights = kernel_weights(cosines(1.0, 0.5), np.array([0.0, 1.0]), shape)
    narrow = np.array([1, np.exp(-0.5 / 0.25 - 1 / 2)])
    broad = np.array([1, np.exp(-0.5 / 0.5 - 1 / 8)])
    narrow, broad = narrow / narrow.sum(), broad / broad.sum()
    num_effective = 1 / (narrow**2).sum()
    assert weights == pytest.approx((num_effective * narrow + 3 * broad) / (num_effective + 3))


def test_the_nearer_record_counts_more_and_so_does_the_like_length() -> None:
    by_cosine = kernel_weights(cosines(0.1, 0.3, 0.5), np.zeros(3))
    by_length = kernel_weights(cosines(0.2, 0.2, 0.2), np.array([2.0, -1.0, 0.0]))
    assert (np.diff(by_cosine) > 0).all()
    assert (np.diff(by_length) > 0).all()


def test_the_same_prompt_often_seen_outweighs_everything() -> None:
    similarities = np.concatenate([np.ones(20), np.full(9000, 0.3)]).astype(np.float32)
    assert kernel_weights(similarities, np.zeros(similarities.size))[:20].sum() > 0.8


def test_one_sighting_is_not_the_whole_truth() -> None:
    similarities = np.concatenate([np.ones(1), np.full(9000, 0.3)]).astype(np.float32)
    assert 0.1 < kernel_weights(similarities, np.zeros(similarities.size))[0] < 0.6


def test_extreme_gaps_leave_a_distribution() -> None:
    weights = kernel_weights(cosines(-1, 1, 0), np.array([50.0, -50.0, 30.0]))
    assert weights.sum() == pytest.approx(1)
    assert np.isfinite(weights).all()


def test_needs_a_record() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        kernel_weights(cosines(), np.zeros(0))
