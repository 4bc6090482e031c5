"""Which answers make a batch.

Every prompt is drawn by the square root of the size of its set, so that seven thousand exam questions do not
outvote four hundred instructions. Of each drawn prompt a few answers are taken, whoever gave them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sagesched_predictor.request_features import request_vector
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.naming import named_models
from sagesched_predictor.training.network import FloatMatrix

# Of the answers of models that keep a name, those that count as the population's instead of their model's.
POPULATION_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt with one setting of the caller.

    Attributes:
        member: number of an example that has them.
        vector: what `request_vector` makes of it.
        answers: rows of (model's number, log length, is cut).
    """

    member: int
    vector: FloatMatrix
    answers: FloatMatrix


@dataclass(frozen=True, slots=True)
class Drawing:
    """What batches are drawn from.

    Attributes:
        models: names; the first has number 1.
        named: numbers of those that keep a name; of all where none does.
        requests: all of them.
        shares: how often each is drawn; sums to 1.
    """

    models: tuple[str, ...]
    named: npt.NDArray[np.int64]
    requests: Sequence[Request]
    shares: npt.NDArray[np.float64]

    @classmethod
    def of(cls, examples: Sequence[TrainingExample], set_power: float) -> Drawing:
        """From at least one example; a set of n requests is drawn as if it had n to the power."""
        models = tuple(sorted({example.model for example in examples}))
        return cls(models, _numbers_of_named(models), *_requests(examples, models, set_power))

    def batch(
        self, rng: np.random.Generator, num: int, num_answers: int
    ) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
        """Numbers of `num` requests, and `num_answers` of each as `network.loss` takes them."""
        chosen = rng.choice(len(self.requests), num, p=self.shares)
        answers = np.stack([_drawn(self.requests[i].answers, num_answers, rng) for i in chosen])
        for_all = (rng.random(answers.shape[:2]) < POPULATION_SHARE) & np.isin(answers[:, :, 0], self.named)
        return chosen, {
            "model": np.where(for_all, 0, answers[:, :, 0]).astype(np.int32),
            "log_length": answers[:, :, 1],
            "is_cut": answers[:, :, 2],
        }


def _numbers_of_named(models: Sequence[str]) -> npt.NDArray[np.int64]:
    kept = set(named_models(models).values()) or set(models)
    return np.array([number for number, model in enumerate(models, start=1) if model in kept])


def _requests(
    examples: Sequence[TrainingExample], models: Sequence[str], power: float
) -> tuple[list[Request], npt.NDArray[np.float64]]:
    numbers = {model: number for number, model in enumerate(models, start=1)}
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for position, example in enumerate(examples):
        groups[(example.dataset, replace(example.features(), prompt_tokens=0, model=""))].append(position)
    requests, sets = [], []
    for members in groups.values():
        answers = [
            (numbers[examples[i].model], np.log(length), float(examples[i].is_cut(length)))
            for i in members
            for length in examples[i].lengths
        ]
        vector = request_vector(examples[members[0]].features())
        requests.append(Request(members[0], vector, np.array(answers, dtype=np.float32)))
        sets.append(examples[members[0]].dataset)
    sizes = Counter(sets)
    shares = np.array([sizes[name] ** (power - 1.0) for name in sets])
    return requests, shares / shares.sum()


def _drawn(answers: FloatMatrix, num: int, rng: np.random.Generator) -> FloatMatrix:
    drawn: FloatMatrix = answers[rng.integers(0, len(answers), num)]
    return drawn
