"""Which requests make a batch, and whose answers."""

from __future__ import annotations

import numpy as np
import pytest

from sagesched_predictor.training.drawing import POPULATION_SHARE, Drawing
from sagesched_predictor.training.examples import TrainingExample


def examples(dataset: str, num: int, model: str = "castillo/m") -> list[TrainingExample]:
    return [
        TrainingExample(prompt=f"{dataset} {n}", dataset=dataset, model=model, lengths=(7,))
        for n in range(num)
    ]


def test_a_large_set_is_drawn_by_the_root_of_its_size() -> None:
    drawing = Drawing.of([*examples("small", 4), *examples("large", 400)], set_power=0.5)
    assert drawing.shares.sum() == pytest.approx(1)
    assert drawing.shares[4:].sum() / drawing.shares[:4].sum() == pytest.approx(10)


def test_answers_of_several_models_to_one_prompt_are_one_request() -> None:
    drawing = Drawing.of([*examples("d", 5), *examples("d", 5, "castillo/other")], set_power=0.5)
    assert len(drawing.requests) == 5
    assert all(sorted(request.answers[:, 0]) == [1, 2] for request in drawing.requests)


def test_a_share_of_the_answers_of_named_models_is_the_populations() -> None:
    own_names = [*examples("d", 20), *examples("e", 20, "mmlu_pro_outputs/nameless")]
    drawing = Drawing.of(own_names, set_power=0.5)
    assert drawing.named.tolist() == [1]
    chosen, answers = drawing.batch(np.random.default_rng(0), 2_000, 3)
    of_named = chosen < 20
    assert (answers["model"][of_named] == 0).mean() == pytest.approx(POPULATION_SHARE, abs=0.03)
    assert (answers["model"][~of_named] == 2).all()
    assert np.allclose(answers["log_length"], np.log(7))
