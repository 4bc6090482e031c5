"""What batches are drawn from, as `training/fitting.py` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.fitting import (
    POPULATION_SHARE,
    _drawn,
    _numbers_of_named,
    _Request,
    _requests,
)


@dataclass(frozen=True)
class Drawing:
    """Requests, how often each is drawn, and the numbers of the models that keep a name."""

    requests: Sequence[_Request]
    shares: npt.NDArray[np.float64]
    named: npt.NDArray[np.int64]

    @classmethod
    def of(cls, examples: Sequence[TrainingExample], set_power: float) -> Drawing:
        """From at least one example; models are numbered in the order of their names."""
        models = sorted({example.model for example in examples})
        return cls(*_requests(examples, models, set_power), _numbers_of_named(models))

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
