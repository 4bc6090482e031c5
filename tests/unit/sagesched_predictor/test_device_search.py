"""The network for GPUs, all bound as there but run on the CPU, against a search of the records here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagesched_predictor import device_search
from sagesched_predictor.comparison import NEAREST
from sagesched_predictor.device_copy import DeviceCopy
from sagesched_predictor.device_search import RESEND, DeviceSearch, search_on_device
from sagesched_predictor.encoder import Encoder
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History, nearest
from sagesched_predictor.network_run import ReplayedRun
from sagesched_predictor.predictor import Prediction, Predictor
from sagesched_predictor.request_features import NUM_FEATURES
from sagesched_predictor.ring import FloatMatrix, Ring
from sagesched_predictor.series import Series
from sagesched_predictor.series_key import SeriesKey

SIZE = 1_000
VECTOR = np.random.default_rng(1).normal(size=(1, NUM_FEATURES)).astype(np.float32)


@pytest.fixture(autouse=True)
def short_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_search, "MIN_RECORDS", 600)


def append(ring: Ring, num: int, seed: int) -> None:
    """Records that are told apart by their output tokens, one second apart."""
    rng = np.random.default_rng(seed)
    # Towards one side, as embeddings of prompts are.
    embeddings = (rng.normal(size=(num, 128)) + 0.1).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    vectors = rng.normal(size=(num, NUM_FEATURES)).astype(np.float32)
    for embedding, vector in zip(embeddings, vectors, strict=True):
        number = ring.num_appended
        ring.append(
            embedding,
            vector,
            output_tokens=number + 1,
            prompt_tokens=10,
            censored=number % 5 == 4,
            recorded_at=float(number),
        )


def a_series(num_records: int = SIZE, *, seed: int = 0) -> Series:
    ring = Ring(SIZE, 128, NUM_FEATURES)
    append(ring, num_records, seed)
    return Series(ring, 0.2)


def search(encoder: Encoder) -> DeviceSearch:
    problems: list[str] = []
    made = search_on_device(encoder, problems.append)
    assert made is not None, problems
    return made


def assert_compared_as_here(on_device: DeviceSearch, series: Series, text: str) -> None:
    """What the device said, corrected by what came since, is what ring and head say here."""
    embedding = on_device.run(text.encode(), text, VECTOR, series)
    compared = on_device.compared(text.encode(), series)
    assert embedding is not None
    assert compared is not None
    (expected,) = nearest(series.ring, embedding[None], series.min_similarity)
    told, wanted = (
        dict(zip(found.output_tokens.tolist(), found.similarities.tolist(), strict=True))
        for found in (compared.found, expected)
    )
    assert told.keys() <= set(series.ring.output_tokens.tolist())
    both = told.keys() & wanted.keys()
    assert [told[number] for number in both] == pytest.approx([wanted[number] for number in both], abs=1e-5)
    # As many as were replaced may be missed, and those are the farthest.
    nearest_first = sorted(wanted, key=lambda number: -wanted[number])
    assert told.keys() >= set(nearest_first[: NEAREST - RESEND])
    assert series.head is not None
    said = compared.said_by(series.head, VECTOR)
    assert said is not None
    in_full = series.head.predict(embedding[None], VECTOR, np.zeros(1))
    assert series.head.quantiles(said, np.zeros(1)) == pytest.approx(in_full, abs=1e-4)
    assert compared.said_by(series.head, VECTOR + 1) is None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["append", "forget"]), st.integers(1, 200)), max_size=6))
def test_the_nearest_are_those_of_the_ring_whatever_came_since(
    replaying_encoder: Encoder, changes: list[tuple[str, int]]
) -> None:
    on_device, series = search(replaying_encoder), a_series()
    assert_compared_as_here(on_device, series, "before")
    for number, (change, count) in enumerate(changes):
        if change == "forget":
            series.ring.forget_before(float(series.ring.recorded_at.min()) + count)
            assert on_device.compared(b"before", series) is None
            assert on_device.run(b"key", "while there is room", VECTOR, series) is None
        append(series.ring, count, seed=number)
        assert_compared_as_here(on_device, series, f"after {number}")


def test_the_copy_is_sent_anew_now_and_then_only(
    replaying_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_device, series = search(replaying_encoder), a_series()
    sent: list[int] = []
    send = DeviceCopy.send_records
    monkeypatch.setattr(
        DeviceCopy, "send_records", lambda copy, rows: (sent.append(len(rows)), send(copy, rows))
    )
    for number in range(2 * RESEND + 2):
        on_device.run(b"key", "a prompt", VECTOR, series)
        append(series.ring, 1, seed=number)
    assert sent == [SIZE] * 3


def test_what_an_earlier_head_said_is_not_taken_for_the_later_ones(replaying_encoder: Encoder) -> None:
    on_device, series = search(replaying_encoder), a_series()
    assert_compared_as_here(on_device, series, "before")
    earlier = series.head
    while series.head is earlier:
        append(series.ring, 1, seed=series.ring.num_appended)
        series._refit()
    assert series.head is not None
    compared = on_device.compared(b"before", series)
    assert compared is not None
    assert compared.said_by(series.head, VECTOR) is None
    assert_compared_as_here(on_device, series, "after")


def test_few_series_have_copies_and_one_that_rests_gives_its_own_up(
    replaying_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_search, "MAX_COPIES", 2)
    monkeypatch.setattr(device_search, "IDLE", 20)
    on_device = search(replaying_encoder)
    resting, busy, late = (a_series(seed=seed) for seed in range(3))
    for series in (resting, busy):
        assert_compared_as_here(on_device, series, "a prompt")
    turns = 0
    while on_device.run(b"late", "of the third", VECTOR, late) is None:
        assert_compared_as_here(on_device, busy, "a prompt")
        turns += 1
    assert turns == 9
    assert_compared_as_here(on_device, late, "of the third")
    assert on_device.compared(b"a prompt", resting) is None


class Counted:
    """The encoder, with the texts that were embedded without being compared."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        self.embedded.extend(texts)
        return self._encoder.embed(texts)


def a_predictor(encoder: Encoder, *, on_device: bool) -> tuple[Predictor, Counted]:
    history, counted = History(128, size=SIZE, min_similarity=0.2), Counted(encoder)
    append(history.ring(SeriesKey.of(a_prompt(""))), SIZE, seed=0)
    return Predictor(counted, history, search=search(encoder) if on_device else None), counted


def a_prompt(text: str) -> PromptFeatures:
    return PromptFeatures(prompt=text, prompt_tokens=12, max_tokens=4096, model="m")


def atoms(prediction: Prediction) -> list[tuple[float, float]]:
    assert prediction.distribution is not None
    return prediction.distribution.to_pairs()


def test_predictions_are_the_same_with_and_without(replaying_encoder: Encoder) -> None:
    with_it, counted = a_predictor(replaying_encoder, on_device=True)
    without, _ = a_predictor(replaying_encoder, on_device=False)
    for number in range(60):
        prompt = a_prompt(f"number {number} of the prompts " + "and more " * number)
        (ours,), (theirs,) = with_it.predict([prompt]), without.predict([prompt])
        assert (ours.source, ours.neighbours) == (theirs.source, theirs.neighbours)
        # Quantiles go in steps from record to record, so the last bit of a weight may move one of them.
        off = np.abs(np.array(atoms(ours)) / np.array(atoms(theirs)) - 1)
        assert off.max() < 1e-2
        assert np.median(off) < 1e-5
        for predictor in (with_it, without):
            predictor.observe(prompt, Outcome(output_tokens=100 + number, censored=False))
    assert counted.embedded == []


def test_an_equal_prompt_has_an_equal_prediction_however_it_comes(replaying_encoder: Encoder) -> None:
    predictor, counted = a_predictor(replaying_encoder, on_device=True)
    (alone,) = predictor.predict([a_prompt("the same")])
    together = predictor.predict([a_prompt("another"), a_prompt("the same"), a_prompt("the same")])
    (again,) = predictor.predict([a_prompt("the same")])
    assert atoms(together[1]) == atoms(together[2]) == atoms(again) == atoms(alone)
    assert counted.embedded == ["another"]


def test_a_series_that_is_not_full_is_compared_here(replaying_encoder: Encoder) -> None:
    on_device = search(replaying_encoder)
    assert on_device.run(b"key", "a prompt", VECTOR, a_series(SIZE - 1)) is None
    assert on_device.compared(b"key", a_series(SIZE - 1)) is None


def test_without_room_for_another_copy_prompts_are_compared_here(
    replaying_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, counted = a_predictor(replaying_encoder, on_device=True)
    # This ONNX Runtime has no memory there at all.
    monkeypatch.setattr(replaying_encoder._replayed, "_device", "cuda")
    for text in ("a prompt", "another"):
        (prediction,) = predictor.predict([a_prompt(text)])
        assert prediction.distribution is not None
    assert counted.embedded == ["a prompt", "another"]


def test_a_device_without_room_at_the_start_is_told_and_not_used(
    replaying_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying_encoder._replayed, "_device", "cuda")
    (problem,) = told_of(replaying_encoder)
    assert problem.startswith("prompts are compared on the CPU: the device has no room for 1024 records")


def test_without_a_device_that_compares_there_is_none(encoder: Encoder) -> None:
    problems: list[str] = []
    assert search_on_device(encoder, problems.append) is None
    assert problems == []


def told_of(encoder: Encoder) -> list[str]:
    problems: list[str] = []
    assert search_on_device(encoder, problems.append) is None
    return problems


def test_a_device_that_fails_is_told_and_not_used(
    replaying_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReplayedRun, "compare", lambda *_: 1 / 0)
    (problem,) = told_of(replaying_encoder)
    assert problem.startswith("prompts are compared on the CPU: the encoder failed on a batch of (1, 4): div")


def test_a_device_that_goes_on_with_old_records_is_told_and_not_used(
    replaying_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sent = DeviceCopy.send_records, []

    def once(copy: DeviceCopy, embeddings: FloatMatrix) -> None:
        if not sent:
            sent.append(embeddings)
            send(copy, embeddings)

    monkeypatch.setattr(DeviceCopy, "send_records", once)
    (problem,) = told_of(replaying_encoder)
    assert "not what is nearest" in problem
