from __future__ import annotations

import numpy as np
import pytest

from sagesched_predictor.ring import FIRST_CAPACITY, Ring


def filled(size: int, num_records: int) -> Ring:
    ring = Ring(size, 2, 3)
    for i in range(num_records):
        ring.append(
            np.array([i, -i], dtype=np.float32),
            np.full(3, i, dtype=np.float32),
            output_tokens=i,
            prompt_tokens=2 * i,
            censored=i % 2 == 1,
            offset=i / 2,
            recorded_at=float(i),
        )
    return ring


@pytest.mark.parametrize(
    ("size", "num_records"),
    [(1, 3), (5, 0), (5, 4), (5, 5), (5, 6), (5, 13), (FIRST_CAPACITY + 7, 3 * FIRST_CAPACITY)],
)
def test_keeps_the_newest_and_all_columns_together(size: int, num_records: int) -> None:
    ring = filled(size, num_records)
    expected = np.arange(max(0, num_records - size), num_records)
    order = ring.by_age()
    assert len(ring) == len(expected)
    assert ring.output_tokens[order].tolist() == expected.tolist()
    assert ring.prompt_tokens[order].tolist() == (2 * expected).tolist()
    assert ring.censored[order].tolist() == (expected % 2 == 1).tolist()
    assert ring.embeddings[order][:, 1].tolist() == (-expected).tolist()
    assert ring.vectors[order][:, 2].tolist() == expected.tolist()
    assert ring.offsets[order].tolist() == (expected / 2).tolist()
    assert ring.num_appended == num_records


@pytest.mark.parametrize(
    ("num_records", "before", "left"), [(4, 2, [2, 3]), (13, 10, [10, 11, 12]), (7, 99, [])]
)
def test_forgets_by_age_and_goes_on(num_records: int, before: int, left: list[int]) -> None:
    ring = filled(5, num_records)
    assert ring.forget_before(before) == min(num_records, 5) - len(left)
    assert ring.output_tokens[ring.by_age()].tolist() == left
    for i in range(3):
        ring.append(
            np.zeros(2, dtype=np.float32),
            np.zeros(3, dtype=np.float32),
            output_tokens=100 + i,
            prompt_tokens=1,
            censored=False,
        )
    assert ring.output_tokens[ring.by_age()].tolist() == [*left, 100, 101, 102][-5:]


def test_memory_grows_with_use() -> None:
    assert filled(1_000_000, 10).embeddings.base.shape[0] == FIRST_CAPACITY  # type: ignore[union-attr]


@pytest.mark.parametrize(("size", "dimension"), [(0, 2), (2, 0)])
def test_refuses_an_empty_shape(size: int, dimension: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Ring(size, dimension, 3)
