from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sagesched_predictor import predictor as predictor_module
from sagesched_predictor import series as series_module
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History
from sagesched_predictor.online_head import OnlineHead
from sagesched_predictor.pool import MIN_LENGTHS, WINDOW, PoolLengths
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.prior import LEVELS
from sagesched_predictor.request_features import NUM_FEATURES
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.series import FittedHere
from sagesched_predictor.series_key import GREEDY, SAMPLED, SeriesKey

APrompt = Callable[..., PromptFeatures]


@pytest.fixture
def predictor(direction_encoder) -> Predictor:  # type: ignore[no-untyped-def]
    return Predictor(direction_encoder, History(2))


def seen(predictor: Predictor, features: PromptFeatures, *lengths: int, censored: bool = False) -> None:
    for output_tokens in lengths:
        predictor.observe(features, Outcome(output_tokens=output_tokens, censored=censored))


def test_nothing_is_known_at_first(predictor: Predictor, a_prompt: APrompt) -> None:
    (prediction,) = predictor.predict([a_prompt(0)])
    assert (prediction.distribution, prediction.source, prediction.neighbours) == (None, "none", 0)
    assert predictor.predict_unseen(a_prompt(0)).source == "none"
    assert predictor.predict([]) == []


def test_prompts_unlike_any_seen_are_taken_for_the_pool(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(90), *[100] * MIN_LENGTHS)
    (prediction,) = predictor.predict([a_prompt(0)])
    assert prediction.neighbours == 0
    assert prediction.distribution is not None
    assert prediction.distribution.mean == pytest.approx(100)


def test_similar_prompts_speak_before_there_is_a_head(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(0), *[100] * 6)
    seen(predictor, a_prompt(80), *[1000] * 6)
    short, long = predictor.predict([a_prompt(5), a_prompt(75)])
    assert (short.source, short.neighbours) == ("history", 6)
    assert short.distribution is not None
    assert long.distribution is not None
    assert short.distribution.quantile(0.5) < 200 < 500 < long.distribution.quantile(0.5)


def test_the_head_speaks_once_it_has_learned(predictor: Predictor, a_prompt: APrompt) -> None:
    for angle in (10, 40, 70, 100) * 10:
        seen(predictor, a_prompt(angle), 10 * angle)
    predictions = predictor.predict([a_prompt(angle) for angle in (25, 55, 85)])
    assert [prediction.source for prediction in predictions] == ["head"] * 3
    medians = [p.distribution.quantile(0.5) for p in predictions if p.distribution is not None]
    assert medians == sorted(medians)
    assert 90 < medians[0] < 450 < medians[-1] < 1010


def test_predictions_come_in_the_order_of_the_prompts(predictor: Predictor, a_prompt: APrompt) -> None:
    for model, length in (("a", 10), ("b", 20)):
        seen(predictor, a_prompt(0, model=model), *[length] * MIN_LENGTHS)
    mixed = [a_prompt(0, model=model) for model in ("a", "b", "b", "a", "c")]
    means = [p.distribution and round(p.distribution.mean, 6) for p in predictor.predict(mixed)]
    assert means == [10, 20, 20, 10, None]


def test_an_answer_that_was_cut_off_is_at_least_so_long(predictor: Predictor, a_prompt: APrompt) -> None:
    for _ in range(20):
        seen(predictor, a_prompt(0), 30, 300)
        seen(predictor, a_prompt(0), 100, censored=True)
    (prediction,) = predictor.predict([a_prompt(0)])
    assert prediction.distribution is not None
    assert prediction.distribution.survival(100) == pytest.approx(2 / 3, abs=0.1)
    assert prediction.distribution.quantile(0.99) < 400


def test_nothing_longer_than_the_cap_is_predicted(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(0), 10, 20, 300, 400, 500)
    (prediction,) = predictor.predict([a_prompt(0, max_tokens=100)])
    assert prediction.distribution is not None
    assert prediction.distribution.tokens[-1] == 100
    unseen = predictor.predict_unseen(a_prompt(0, max_tokens=15))
    assert unseen.distribution is not None
    assert unseen.distribution.tokens.tolist() == [10, 15]


def test_a_prompt_is_embedded_once(predictor: Predictor, a_prompt: APrompt, direction_encoder) -> None:  # type: ignore[no-untyped-def]
    predictor.predict([a_prompt(0), a_prompt(0, tokens=99), a_prompt(30)])
    seen(predictor, a_prompt(30), 5)
    predictor.predict([a_prompt(0)])
    assert direction_encoder.asked == [["p*0", "p*30"]]
    assert predictor.remembers("p*30")


def test_forgets_embeddings_but_not_observations(
    predictor: Predictor,
    a_prompt: APrompt,
    direction_encoder,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictor_module, "REMEMBERED_PROMPTS", 2)
    predictor.predict([a_prompt(0), a_prompt(1), a_prompt(2)])
    assert not predictor.remembers("p*0")
    seen(predictor, a_prompt(0), 5)
    assert direction_encoder.asked[-1] == ["p*0"]
    assert predictor.num_records == 1


def test_a_warm_history_fills_the_pool(a_prompt: APrompt, direction_encoder) -> None:  # type: ignore[no-untyped-def]
    history = History(2)
    first = Predictor(direction_encoder, history)
    seen(first, a_prompt(0), 10, 20, 30, 40, 50)
    second = Predictor(direction_encoder, history)
    pool = second.pool("m").distribution()
    assert pool is not None
    assert pool.tokens.tolist() == [10, 20, 30, 40, 50]
    assert second.predict([a_prompt(0)]) == first.predict([a_prompt(0)])


def test_a_restored_pool_is_of_the_last_answers_whichever_series_they_belong_to(direction_encoder) -> None:  # type: ignore[no-untyped-def]
    history, expected = History(2), PoolLengths()
    vector, features = np.array([1, 0], dtype=np.float32), np.zeros(NUM_FEATURES, dtype=np.float32)
    for number in range(2 * WINDOW):
        regime, length = (GREEDY, 1000) if number % 2 else (SAMPLED, 10)
        record = {
            "output_tokens": length,
            "prompt_tokens": 3,
            "censored": False,
            "recorded_at": float(number),
        }
        history.ring(SeriesKey("m", regime)).append(vector, features, **record)
        expected.observe(length)
    assert Predictor(direction_encoder, history).pool("m").distribution() == expected.distribution()


def test_a_length_without_its_prompt_counts_for_the_pool_only(
    predictor: Predictor, a_prompt: APrompt
) -> None:
    for _ in range(MIN_LENGTHS):
        predictor.observe_length("m", Outcome(output_tokens=70, censored=False))
    predictor.observe_length("m", Outcome(output_tokens=7, censored=True))
    prediction = predictor.predict_unseen(a_prompt(0))
    assert prediction.source == "pool"
    assert prediction.distribution is not None
    assert prediction.distribution.tokens.tolist() == [70]
    assert predictor.num_records == 0


def test_odd_prompts_do_no_harm(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(0, tokens=0), *[7] * MIN_LENGTHS)
    odd = PromptFeatures(prompt="\ud800*0", prompt_tokens=0, model="m")
    (prediction,) = predictor.predict([odd])
    assert prediction.distribution is not None
    assert prediction.distribution.mean == pytest.approx(7)


class FlatPrior:
    """Takes every answer for about 400 tokens long."""

    def predict(self, embeddings: FloatMatrix, vectors: FloatMatrix, models: Sequence[str]) -> FloatMatrix:
        row = np.log(400) + np.linspace(-0.5, 0.5, len(LEVELS))
        return np.tile(row.astype(np.float32), (len(embeddings), 1))


def test_the_prior_speaks_first_and_yields_to_the_pool(a_prompt: APrompt, direction_encoder) -> None:  # type: ignore[no-untyped-def]
    predictor = Predictor(direction_encoder, History(2), FlatPrior())
    (cold,) = predictor.predict([a_prompt(0)])
    assert cold.source == "prior"
    assert cold.distribution is not None
    assert cold.distribution.quantile(0.5) == pytest.approx(400, rel=0.05)
    for _ in range(50):
        seen(predictor, a_prompt(0), 40, 50, 60)
    (warm,) = predictor.predict([a_prompt(0, tokens=19)])
    assert warm.source == "head"
    assert warm.distribution is not None
    assert 35 < warm.distribution.quantile(0.5) < 80


def test_what_one_tenant_taught_serves_no_other(predictor: Predictor) -> None:
    def of(tenant: str) -> PromptFeatures:
        return PromptFeatures(prompt="p*0", prompt_tokens=3, model="m", tenant=tenant)

    seen(predictor, of("a"), *[100] * 30)
    own, foreign = predictor.predict([of("a"), of("b")])
    assert own.neighbours == 30
    assert (foreign.neighbours, foreign.source) == (0, "pool")  # lengths are shared, prompts are not


def test_equal_prompts_have_equal_predictions_alone_or_together(
    predictor: Predictor, a_prompt: APrompt
) -> None:
    for angle in range(60):
        seen(predictor, a_prompt(angle), 100 + 7 * angle)
    (alone,) = predictor.predict([a_prompt(33)])
    together = predictor.predict([a_prompt(angle) for angle in (33, 5, 70, 33)])
    assert together[0].distribution == together[3].distribution
    for one in (together[0], together[3]):
        assert one.distribution is not None
        assert alone.distribution is not None
        assert one.distribution.tokens.tolist() == alone.distribution.tokens.tolist()


def test_a_fit_elsewhere_is_taken_over_when_it_is_done(
    a_prompt: APrompt,
    direction_encoder,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(series_module, "FIT_AT_ONCE", 0)
    waiting: list[LateFit] = []

    def start(fit: Callable[[], OnlineHead]) -> LateFit:
        waiting.append(LateFit(fit))
        return waiting[-1]

    predictor = Predictor(direction_encoder, History(2), start_fit=start)
    for angle in range(40):
        seen(predictor, a_prompt(angle), 100 + angle)
    assert len(waiting) == 1
    new = a_prompt(0, tokens=19)
    assert predictor.predict([new])[0].source == "history"
    waiting[0].is_done = True
    assert predictor.predict([new])[0].source == "head"


class LateFit(FittedHere):
    def __init__(self, fit: Callable[[], OnlineHead]) -> None:
        super().__init__(fit)
        self.is_done = False

    def done(self) -> bool:
        return self.is_done


def test_a_prompt_that_came_before_goes_by_its_own_answers(predictor: Predictor, a_prompt: APrompt) -> None:
    rng = np.random.default_rng(0)
    of_its_own = np.exp(rng.normal(5, 1, size=180))
    for number in rng.integers(180, size=400):
        seen(predictor, a_prompt(0, tokens=10 + int(number)), round(of_its_own[number]))
    most, least = int(np.argmax(of_its_own)), int(np.argmin(of_its_own))
    long, short, new = predictor.predict([a_prompt(0, tokens=10 + n) for n in (most, least, 500)])
    assert long.distribution is not None
    assert short.distribution is not None
    assert new.distribution is not None
    assert long.source == short.source == "history"
    assert long.distribution.quantile(0.5) == pytest.approx(of_its_own[most], rel=0.5)
    assert short.distribution.quantile(0.5) == pytest.approx(of_its_own[least], rel=0.5)
    widths = [
        one.distribution.quantile(0.9) / one.distribution.quantile(0.1)
        for one in (long, short, new)
        if one.distribution
    ]
    assert 2 * max(widths[:2]) < widths[2]


def test_new_prompts_and_those_that_came_before_weigh_the_sources_apart(
    a_prompt: APrompt,
    direction_encoder,  # type: ignore[no-untyped-def]
) -> None:
    history = History(2)
    predictor = Predictor(direction_encoder, history)
    rng = np.random.default_rng(0)
    for length in rng.integers(10, 1000, size=60):
        seen(predictor, a_prompt(0), int(length))
    of_new, of_known = history.ring(history.keys[0]).lessons.merits
    assert not of_new.any()
    assert of_known.any()
    learned = of_known.copy()
    for number, length in enumerate(rng.integers(10, 1000, size=60)):
        seen(predictor, a_prompt(90 + number, tokens=20 + number), int(length))
    assert of_new.any()
    assert np.array_equal(of_known, learned)
    new = of_new.copy()
    again = Predictor(direction_encoder, history)  # as after a restart: it goes on from them
    seen(again, a_prompt(0), 100)
    assert np.array_equal(of_new, new)
    assert not np.array_equal(of_known, learned)
