from __future__ import annotations

import numpy as np

from sagesched_predictor.history import History
from sagesched_predictor.ring import FloatMatrix


def unit_vectors(num: int, dimension: int, seed: int) -> FloatMatrix:
    vectors = np.random.default_rng(seed).normal(size=(num, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def a_history(vectors: FloatMatrix, *, size: int = 10_000, censored: set[int] = frozenset()) -> History:  # type: ignore[assignment]
    history = History(vectors.shape[1], size=size)
    for i, vector in enumerate(vectors):
        history.ring("m").append(vector, output_tokens=100 + i, prompt_tokens=i, censored=i in censored)
    return history


def test_finds_exactly_what_comparing_all_pairs_finds() -> None:
    records = unit_vectors(700, 3, seed=1)  # three dimensions, so that many pass 0.8
    queries = unit_vectors(20, 3, seed=2)
    history = a_history(records)
    for query, found in zip(queries, history.search("m", queries), strict=True):
        expected = [100 + i for i, record in enumerate(records) if float(record @ query) >= 0.8]
        assert found.output_tokens[found.near].tolist() == expected
        assert found.num_neighbours == len(expected) > 10


def test_forgets_the_oldest() -> None:
    records = unit_vectors(30, 3, seed=3)
    history = a_history(records, size=20)
    (found,) = history.search("m", records[:1])
    assert sorted(found.output_tokens.tolist()) == list(range(110, 130))


def test_an_answer_that_was_cut_off_is_no_length() -> None:
    records = np.tile(unit_vectors(1, 4, seed=4), (5, 1))
    (found,) = a_history(records, censored={1, 3}).search("m", records[:1])
    assert found.output_tokens.tolist() == [100, 102, 104]
    assert found.prompt_tokens.tolist() == [0, 2, 4]
    assert (found.num_neighbours, found.num_censored) == (3, 2)


def test_models_are_never_mixed() -> None:
    vector = unit_vectors(1, 4, seed=5)
    history = a_history(vector)
    history.ring("other").append(vector[0], output_tokens=7, prompt_tokens=1, censored=False)
    assert [f.output_tokens.tolist() for f in history.search("other", vector)] == [[7]]
    assert len(history) == 2
    assert history.models == ["m", "other"]


def test_asking_for_an_unknown_model_finds_nothing_and_leaves_no_trace() -> None:
    history = a_history(unit_vectors(1, 4, seed=6))
    found = history.search("stranger", unit_vectors(2, 4, seed=7))
    assert [f.num_neighbours for f in found] == [0, 0]
    assert history.models == ["m"]


def test_the_threshold_belongs_to_the_neighbours() -> None:
    history = History(2, min_similarity=0.5)
    history.ring("m").append(
        np.array([1, 0], dtype=np.float32), output_tokens=9, prompt_tokens=1, censored=False
    )
    query = np.array([[0.5, np.sqrt(0.75)], [0.49, np.sqrt(1 - 0.49**2)]], dtype=np.float32)
    assert [f.num_neighbours for f in history.search("m", query)] == [1, 0]
