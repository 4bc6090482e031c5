"""Evaluation with a forecaster whose every word is known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sagesched_predictor.dataset import Example
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.errors import DatasetError
from sagesched_predictor.evaluation import Actual, draw_actuals, evaluate
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.predictor import Prediction


class Clairvoyant:
    """Says the number that the prompt is, once it has observed enough; remembers what it was told."""

    def __init__(self, needs: int = 0) -> None:
        self.needs = needs
        self.observed: list[tuple[str, Outcome]] = []

    def predict(self, prompts: Sequence[PromptFeatures]) -> list[Prediction]:
        if len(self.observed) < self.needs:
            return [Prediction(None, "none", 0)] * len(prompts)
        known = [LengthDistribution.point(float(p.prompt)).clipped(p.max_tokens or 10**6) for p in prompts]
        return [Prediction(distribution, "prior", 0) for distribution in known]

    def observe(self, features: PromptFeatures, outcome: Outcome) -> None:
        self.observed.append((features.prompt, outcome))

    def remember(self, prompts: Sequence[str]) -> None:
        pass


def a_line(tokens: int, *, max_tokens: int = 1000, model: str = "m", dataset: str = "d") -> Actual:
    features = PromptFeatures(prompt=str(tokens), prompt_tokens=1, max_tokens=max_tokens, model=model)
    return Actual(Example(features, (tokens,), dataset=dataset), tokens, ())


def test_the_first_lines_are_observed_in_order_and_never_scored() -> None:
    forecaster = Clairvoyant()
    found = evaluate(forecaster, [a_line(n) for n in (5, 3, 9, 7, 1)], adapt=2)
    assert [prompt for prompt, _ in forecaster.observed] == ["5", "3"]
    assert (found["n"], found["observed"], found["kendall_tau"]) == (3, 2, 1.0)
    assert found["coverage"]["0.9"] == 1.0
    assert found["kendall_ceiling"] is None
    assert 0 <= found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]


def test_answers_count_as_far_as_the_callers_cap() -> None:
    forecaster = Clairvoyant()
    lines = [a_line(n, max_tokens=50) for n in (10, 90, 60, 20)]
    found = evaluate(forecaster, lines, adapt=2)
    assert [(o.output_tokens, o.censored) for _, o in forecaster.observed] == [(10, False), (50, True)]
    assert found["coverage"]["0.5"] == 1.0
    assert found["pinball_gain"] == 1.0


def test_without_a_cap_answers_count_whole() -> None:
    found = evaluate(Clairvoyant(), [a_line(n, max_tokens=0) for n in (10, 9_000, 30_000)])
    assert (found["kendall_tau"], found["pinball_gain"]) == (1.0, 1.0)


def test_groups_have_their_own_figures_and_unnamed_ones_none() -> None:
    lines = [
        *(a_line(n, model="a", dataset="x") for n in (1, 2)),
        *(a_line(n, model="b", dataset="") for n in (3, 4)),
    ]
    found = evaluate(Clairvoyant(), lines)
    assert {name: group["n"] for name, group in found["by_model"].items()} == {"a": 2, "b": 2}
    assert {name: group["n"] for name, group in found["by_dataset"].items()} == {"x": 2}


def test_what_cannot_be_scored_is_told() -> None:
    with pytest.raises(DatasetError, match="no line is left to score: 2 lines, the first 2 observed"):
        evaluate(Clairvoyant(), [a_line(1), a_line(2)], adapt=2)
    with pytest.raises(DatasetError, match="let it observe lines"):
        evaluate(Clairvoyant(needs=1), [a_line(1)])


def test_lines_cut_off_by_others_are_observed_but_not_scored() -> None:
    cut = Actual(Example(PromptFeatures(prompt="4", prompt_tokens=1, max_tokens=9), (4,), True), 4, ())
    forecaster = Clairvoyant()
    found = evaluate(forecaster, [cut, a_line(1), cut, a_line(2)], adapt=1)
    assert forecaster.observed[0][1].censored
    assert found["n"] == 2


def test_lines_of_a_recording_that_were_cut_off_by_their_cap_are_scored() -> None:
    capped = Actual(Example(PromptFeatures(prompt="9", prompt_tokens=1, max_tokens=9), (9,), True), 9, ())
    found = evaluate(Clairvoyant(), [capped, a_line(1), a_line(2)])
    assert (found["n"], found["kendall_tau"]) == (3, 1.0)


def test_what_happened_is_what_the_line_says_or_one_of_its_samples() -> None:
    features = PromptFeatures(prompt="p", prompt_tokens=1, max_tokens=99)
    happened, sampled = draw_actuals(
        [Example(features, (7, 8), happened=3), Example(features, (7, 8, 9))], seed=4
    )
    assert (happened.tokens, happened.others) == (3, (7, 8))
    (one_of_them,) = draw_actuals([Example(features, (7, 8, 7), happened=7)])
    assert (one_of_them.tokens, sorted(one_of_them.others)) == (7, [7, 8])
    assert sorted([sampled.tokens, *sampled.others]) == [7, 8, 9]
    assert (
        draw_actuals([Example(features, (7, 8, 9))], 4)[0]
        == draw_actuals([Example(features, (7, 8, 9))], 4)[0]
    )
