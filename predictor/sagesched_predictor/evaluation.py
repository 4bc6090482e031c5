"""Scoring a predictor on a dataset, as `sagesched-predictor evaluate` does."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sagesched_predictor.dataset import Example
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.errors import DatasetError
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.predictor import Prediction
from sagesched_predictor.scores import FloatArray, score

# Prompts embedded together while observing.
GROUP = 64


class Forecaster(Protocol):
    """What is evaluated."""

    def predict(self, prompts: Sequence[PromptFeatures]) -> list[Prediction]:
        """One prediction per prompt."""

    def observe(self, features: PromptFeatures, outcome: Outcome) -> None:
        """Learn from one answer."""

    def remember(self, prompts: Sequence[str]) -> None:
        """Embed prompts together, ahead of `observe`."""


@dataclass(frozen=True, slots=True)
class Actual:
    """What happened to one line, and what else could have.

    Attributes:
        example: the line.
        tokens: the one length that counts as what happened, uncut.
        others: other answers to the same prompt, uncut.
    """

    example: Example
    tokens: int
    others: tuple[int, ...]


def draw_actuals(examples: Iterable[Example], seed: int = 0) -> list[Actual]:
    """What happened on each line: its `output_tokens`, else one of its samples, drawn by the seed."""
    rng = np.random.default_rng(seed)
    drawn = []
    for example in examples:
        lengths = example.output_tokens
        if example.happened is not None:
            drawn.append(Actual(example, example.happened, _others(lengths, example.happened)))
            continue
        chosen = int(rng.integers(len(lengths)))
        drawn.append(Actual(example, lengths[chosen], lengths[:chosen] + lengths[chosen + 1 :]))
    return drawn


def _others(lengths: tuple[int, ...], happened: int) -> tuple[int, ...]:
    """Samples that are not what happened, which may or may not be one of them."""
    if happened not in lengths:
        return lengths
    place = lengths.index(happened)
    return lengths[:place] + lengths[place + 1 :]


def evaluate(
    predictor: Forecaster,
    lines: Sequence[Actual],
    *,
    adapt: int = 0,
    on_line: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Observe the first `adapt` lines in order, then predict the rest one by one, learning nothing more.

    Lines that were cut off by anything but their `max_tokens` are observed, but cannot be scored.

    Args:
        predictor: learns and predicts.
        lines: in order of time.
        adapt: lines observed first.
        on_line: called after each line.

    Returns:
        The figures of `scores.score` over all scored lines, `latency_ms`, `unpredicted` (lines for which
        nothing at all was known, and which are not scored), and the same figures by `model` and `dataset`.

    Raises:
        DatasetError: no line is left to score, or nothing is known of any of them.
        EncoderError: the encoder failed.
    """
    observe(predictor, lines[:adapt], on_line)
    scored: list[Actual] = []
    distributions: list[LengthDistribution] = []
    milliseconds: list[float] = []
    unpredicted = 0
    for line in lines[adapt:]:
        if line.example.is_cut_off and line.tokens < _cap(line):
            continue
        started_at = time.perf_counter()
        (prediction,) = predictor.predict([line.example.features])
        milliseconds.append(1e3 * (time.perf_counter() - started_at))
        on_line()
        if prediction.distribution is None:
            unpredicted += 1
            continue
        scored.append(line)
        distributions.append(prediction.distribution)
    if not scored:
        raise DatasetError(_nothing_scored(len(lines), adapt, unpredicted))
    return {
        **_figures(scored, distributions),
        "latency_ms": {f"p{q}": float(np.percentile(milliseconds, q)) for q in (50, 99)},
        "observed": min(adapt, len(lines)),
        "unpredicted": unpredicted,
        "by_model": _by(scored, distributions, lambda line: line.example.features.model),
        "by_dataset": _by(scored, distributions, lambda line: line.example.dataset),
    }


def observe(
    predictor: Forecaster, lines: Sequence[Actual], on_line: Callable[[], object] = lambda: None
) -> None:
    """Let the predictor learn from what happened, in order."""
    for start in range(0, len(lines), GROUP):
        group = lines[start : start + GROUP]
        predictor.remember([line.example.features.prompt for line in group])
        for line in group:
            predictor.observe(line.example.features, line.example.outcome(line.tokens))
            on_line()


def _figures(lines: Sequence[Actual], distributions: Sequence[LengthDistribution]) -> dict[str, Any]:
    caps = [_cap(line) for line in lines]
    actual = np.array([min(max(line.tokens, 1), cap) for line, cap in zip(lines, caps, strict=True)])
    others: list[FloatArray] = [
        np.minimum(np.array(line.others, dtype=np.float64), cap)
        for line, cap in zip(lines, caps, strict=True)
    ]
    return score(distributions, actual.astype(np.float64), others)


def _cap(line: Actual) -> float:
    return line.example.features.max_tokens or np.inf


def _by(
    lines: Sequence[Actual], distributions: Sequence[LengthDistribution], name_of: Callable[[Actual], str]
) -> dict[str, Any]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        groups[name_of(line)].append(number)
    return {
        name: _figures([lines[i] for i in numbers], [distributions[i] for i in numbers])
        for name, numbers in sorted(groups.items())
        if name
    }


def _nothing_scored(num_lines: int, adapt: int, unpredicted: int) -> str:
    if unpredicted:
        return "nothing could be predicted: this artifact has no prior; let it observe lines (--adapt N)"
    return f"no line is left to score: {num_lines} lines, the first {adapt} observed"
