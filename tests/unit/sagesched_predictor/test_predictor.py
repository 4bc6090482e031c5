from __future__ import annotations

from collections.abc import Callable

import pytest

from sagesched_predictor import predictor as predictor_module
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.history import History
from sagesched_predictor.pool import MIN_LENGTHS
from sagesched_predictor.predictor import MIN_NEIGHBOURS, Predictor

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


def test_the_pool_speaks_for_a_prompt_unlike_any_seen(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(90), *[100] * MIN_LENGTHS)
    (prediction,) = predictor.predict([a_prompt(0)])
    assert (prediction.source, prediction.neighbours) == ("pool", 0)
    assert prediction.distribution is not None
    assert prediction.distribution.mean == 100


def test_history_speaks_once_there_are_neighbours_enough(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(80), *[1000] * 20)
    seen(predictor, a_prompt(0), *range(10, 10 + MIN_NEIGHBOURS - 1))
    (before,) = predictor.predict([a_prompt(0)])
    assert (before.source, before.neighbours) == ("pool", MIN_NEIGHBOURS - 1)
    assert before.distribution is not None
    assert before.distribution.tokens[-1] == 1000
    seen(predictor, a_prompt(0), 30)
    same, other, between = predictor.predict([a_prompt(0), a_prompt(80), a_prompt(40)])
    assert (same.source, same.neighbours) == ("history", MIN_NEIGHBOURS)
    assert same.distribution is not None
    assert same.distribution.tokens.tolist() == [*range(10, 10 + MIN_NEIGHBOURS - 1), 30]
    assert (other.source, other.distribution) == ("history", LengthDistribution.point(1000))
    assert between.source == "pool"


def test_of_the_neighbours_the_nearer_count_more(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(0), *[100] * MIN_NEIGHBOURS)
    seen(predictor, a_prompt(30), *[200] * MIN_NEIGHBOURS)
    (prediction,) = predictor.predict([a_prompt(10)])
    assert (prediction.source, prediction.neighbours) == ("history", 2 * MIN_NEIGHBOURS)
    assert prediction.distribution is not None
    assert 0 < prediction.distribution.survival(100) < 0.4


def test_predictions_come_in_the_order_of_the_prompts(predictor: Predictor, a_prompt: APrompt) -> None:
    for model, length in (("a", 10), ("b", 20)):
        seen(predictor, a_prompt(0, model=model), *[length] * MIN_LENGTHS)
    mixed = [a_prompt(0, model=model) for model in ("a", "b", "b", "a", "c")]
    means = [p.distribution and p.distribution.mean for p in predictor.predict(mixed)]
    assert means == [10, 20, 20, 10, None]


def test_an_answer_that_was_cut_off_is_no_length(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(0), *[30] * MIN_LENGTHS)
    seen(predictor, a_prompt(0), *[2000] * 50, censored=True)
    (prediction,) = predictor.predict([a_prompt(0)])
    assert prediction.distribution is not None
    assert prediction.distribution.quantile(1) == 30
    assert prediction.neighbours == MIN_LENGTHS
    assert predictor.num_records == MIN_LENGTHS + 50


def test_nothing_longer_than_the_cap_is_predicted(predictor: Predictor, a_prompt: APrompt) -> None:
    seen(predictor, a_prompt(0), 10, 20, 300, 400, 500)
    (prediction,) = predictor.predict([a_prompt(0, max_tokens=100)])
    assert prediction.distribution is not None
    assert prediction.distribution.tokens.tolist() == [10, 20, 100]
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
    seen(first, a_prompt(0), 999, censored=True)
    second = Predictor(direction_encoder, history)
    pool = second.pool("m").distribution()
    assert pool is not None
    assert pool.tokens.tolist() == [10, 20, 30, 40, 50]


def test_a_length_without_its_prompt_counts_for_the_pool_only(
    predictor: Predictor, a_prompt: APrompt
) -> None:
    for _ in range(MIN_LENGTHS):
        predictor.observe_length("m", Outcome(output_tokens=70, censored=False))
    predictor.observe_length("m", Outcome(output_tokens=700, censored=True))
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
    assert prediction.distribution.mean == 7
