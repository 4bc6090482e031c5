from __future__ import annotations

import numpy as np

from sagesched_predictor import history as history_module
from sagesched_predictor.comparison import NEAREST
from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.history import History, nearest
from sagesched_predictor.request_features import NUM_FEATURES
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.series_key import SeriesKey

KEY = SeriesKey("m")


def unit_vectors(num: int, dimension: int, seed: int) -> FloatMatrix:
    vectors = np.random.default_rng(seed).normal(size=(num, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def add(history: History, key: SeriesKey, vector: FloatMatrix, i: int, recorded_at: float = 0.0) -> None:
    history.ring(key).append(
        vector,
        np.zeros(NUM_FEATURES, dtype=np.float32),
        output_tokens=100 + i,
        prompt_tokens=i,
        censored=i % 2 == 1,
        recorded_at=recorded_at,
    )


def a_history(vectors: FloatMatrix, *, size: int = 10_000) -> History:
    history = History(vectors.shape[1], size=size)
    for i, vector in enumerate(vectors):
        add(history, KEY, vector, i)
    return history


def test_finds_exactly_the_nearest_that_comparing_all_pairs_finds() -> None:
    records = unit_vectors(700, 3, seed=1)
    queries = unit_vectors(20, 3, seed=2)
    found = nearest(a_history(records).ring(KEY), queries, 0.8)
    for query, neighbourhood in zip(queries, found, strict=True):
        cosines = records @ query
        expected = np.argsort(-cosines)[:NEAREST]
        assert sorted(neighbourhood.prompt_tokens.tolist()) == sorted(expected.tolist())
        assert neighbourhood.num_near == np.count_nonzero(cosines >= 0.8)
        assert (neighbourhood.output_tokens == 100 + neighbourhood.prompt_tokens).all()
        assert (neighbourhood.censored == (neighbourhood.prompt_tokens % 2 == 1)).all()


def test_forgets_the_oldest() -> None:
    records = unit_vectors(30, 3, seed=3)
    (found,) = nearest(a_history(records, size=20).ring(KEY), records[:1], 0.8)
    assert sorted(found.output_tokens.tolist()) == list(range(110, 130))


def test_series_are_never_mixed() -> None:
    vector = unit_vectors(1, 4, seed=5)
    history = a_history(vector)
    other = SeriesKey("m", "greedy")
    add(history, other, vector[0], 7)
    assert [f.output_tokens.tolist() for f in nearest(history.ring(other), vector, 0.8)] == [[107]]
    assert len(history) == 2
    assert history.keys == [KEY, other]
    assert history.models == ["m"]


def test_of_too_many_series_those_that_rest_go(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(history_module, "MAX_SERIES", 2)
    history = History(4)
    vector = unit_vectors(1, 4, seed=6)[0]
    for name in ("a", "b", "a", "c"):
        add(history, SeriesKey(name), vector, 1)
    assert history.models == ["a", "c"]
    assert history.find(SeriesKey("b")) is None


def test_forgets_by_age() -> None:
    history = History(4)
    for i in range(6):
        add(history, SeriesKey(f"m{i % 2}"), unit_vectors(1, 4, seed=7)[0], i, recorded_at=float(i))
    assert history.forget_before(3.0) == 3
    assert len(history) == 3


def test_a_series_is_a_model_asked_in_one_way_for_one_tenant() -> None:
    def key_of(**more: object) -> SeriesKey:
        return SeriesKey.of(PromptFeatures(prompt="p", prompt_tokens=1, model="m", **more))  # type: ignore[arg-type]

    assert key_of() == key_of(temperature=0.7) == key_of(top_p=0.5) == SeriesKey("m", "sampled")
    assert key_of(temperature=0.0) == SeriesKey("m", "greedy")
    assert key_of(thinking=True) == SeriesKey("m", "sampled-thinking")
    assert key_of(tenant="a") != key_of(tenant="b")
    assert str(SeriesKey("m", "greedy", "a")) == "m (greedy) of tenant a"
