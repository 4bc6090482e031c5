"""A search through a sketch finds what comparing everything finds, but for a few at the far end."""

from __future__ import annotations

import numpy as np

from sagesched_predictor.comparison import NEAREST
from sagesched_predictor.history import nearest
from sagesched_predictor.request_features import NUM_FEATURES
from sagesched_predictor.ring import FloatMatrix, Ring
from sagesched_predictor.sketch import SMALL, sketch_of

DIMENSION = 128
SIZE = 8_000


def like_prompts(num: int, seed: int, dimension: int = DIMENSION) -> FloatMatrix:
    """Unit vectors whose leading 32 directions hold as much as those of real prompts do, 0.83."""
    basis = np.linalg.qr(np.random.default_rng(99).normal(size=(dimension, dimension)))[0]
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(num, dimension)) * (1 + np.arange(dimension)) ** -0.6) @ basis
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def unlike(num: int, seed: int) -> FloatMatrix:
    """Unit vectors without leading directions."""
    vectors = np.random.default_rng(seed).normal(size=(num, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fill(ring: Ring, embeddings: FloatMatrix, first: int = 0) -> Ring:
    for i, embedding in enumerate(embeddings, start=first):
        ring.append(
            embedding,
            np.zeros(NUM_FEATURES, dtype=np.float32),
            output_tokens=i,
            prompt_tokens=1,
            censored=False,
            recorded_at=float(i),
        )
    return ring


def assert_almost_all_are_found(ring: Ring, queries: FloatMatrix, share: float = 0.99) -> None:
    shares = []
    for query, found in zip(queries, nearest(ring, queries, 0.5), strict=True):
        cosines = ring.embeddings @ query
        expected = np.sort(cosines)[-NEAREST:]
        # What it tells of a record is never approximate.
        by_number = dict(zip(ring.output_tokens.tolist(), cosines.tolist(), strict=True))
        told = [by_number[number] for number in found.output_tokens.tolist()]
        np.testing.assert_allclose(found.similarities, told, atol=1e-6)
        assert len(set(found.output_tokens.tolist())) == NEAREST
        assert np.isclose(found.similarities.max(), expected[-1], atol=1e-6)
        shares.append(np.count_nonzero(found.similarities >= expected[0] - 1e-6) / NEAREST)
    assert np.mean(shares) >= share


def test_finds_almost_all_of_the_nearest() -> None:
    ring = fill(Ring(SIZE, DIMENSION, NUM_FEATURES), like_prompts(SIZE, 1))
    assert ring.sketch is not None
    assert_almost_all_are_found(ring, like_prompts(50, 2))


def test_a_record_is_found_as_soon_as_it_is_there() -> None:
    ring = fill(Ring(SIZE, DIMENSION, NUM_FEATURES), like_prompts(SIZE, 1))
    newcomers = unlike(20, 3)
    fill(ring, newcomers, first=SIZE)
    assert len(ring) == SIZE
    for number, found in enumerate(nearest(ring, newcomers, 0.999), start=SIZE):
        assert found.output_tokens[np.argmax(found.similarities)] == number


def test_follows_the_traffic_and_forgets_with_the_ring() -> None:
    ring = fill(Ring(SIZE, DIMENSION, NUM_FEATURES), like_prompts(SIZE, 1))
    elsewhere = like_prompts(SIZE, 4)[:, ::-1]
    fill(ring, elsewhere, first=SIZE)
    assert_almost_all_are_found(ring, like_prompts(20, 5)[:, ::-1])
    assert ring.forget_before(SIZE + 1500.0) == 1500
    assert ring.sketch is not None
    assert_almost_all_are_found(ring, like_prompts(20, 6)[:, ::-1])
    assert ring.forget_before(2 * SIZE - 100.0) == SIZE - 1600
    assert ring.sketch is None
    (found,) = nearest(ring, elsewhere[-1:], 0.8)
    assert len(found.similarities) == 100


def test_equal_prompts_have_equal_neighbours() -> None:
    ring = fill(Ring(SIZE, DIMENSION, NUM_FEATURES), like_prompts(SIZE, 1))
    query = like_prompts(1, 7)
    once, among_others = nearest(ring, query, 0.8)[0], nearest(ring, np.concatenate([query] * 3), 0.8)
    for other in among_others:
        assert once.similarities.tolist() == other.similarities.tolist()
        assert once.output_tokens.tolist() == other.output_tokens.tolist()


def test_there_is_none_where_it_would_tell_too_little_or_save_nothing() -> None:
    enough = SMALL // DIMENSION
    assert sketch_of(unlike(enough, 1), SIZE) is None
    assert sketch_of(like_prompts(enough - 1, 1), SIZE) is None
    assert sketch_of(like_prompts(SMALL // 16, 1, dimension=16), SMALL) is None
    assert sketch_of(like_prompts(enough, 1), SIZE) is not None
