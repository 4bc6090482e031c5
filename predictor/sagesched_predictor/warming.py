"""Making a warm history offline, from a dataset of prompts with known output lengths (`dataset.py`)."""

from __future__ import annotations

from collections.abc import Iterable

from sagesched_predictor.dataset import Example, Samples
from sagesched_predictor.predictor import Predictor

# Prompts embedded together; the encoder makes batches of similar length out of them.
GROUP = 64


def warm(predictor: Predictor, examples: Iterable[Example], samples: Samples = "each") -> int:
    """Let the predictor observe the examples; returns the number of observations."""
    num_observed = 0
    group: list[Example] = []
    for example in examples:
        group.append(example)
        if len(group) == GROUP:
            num_observed += _observe(predictor, group, samples)
            group = []
    return num_observed + _observe(predictor, group, samples)


def _observe(predictor: Predictor, group: list[Example], samples: Samples) -> int:
    predictor.remember([example.features.prompt for example in group])
    num_observed = 0
    for example in group:
        for outcome in example.outcomes(samples):
            predictor.observe(example.features, outcome)
            num_observed += 1
    return num_observed
