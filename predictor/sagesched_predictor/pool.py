"""The pool-wide distribution: lengths of all recent answers of one model, whatever the prompt.

What a request is taken for until history speaks, and what a request without a prediction sorts by.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from sagesched_predictor.distribution import LengthDistribution

# Wide enough for the tail (twenty answers above its 99th percentile), short enough to follow a change of
# traffic.
WINDOW = 2_000
# Below this a single odd answer would speak for everybody.
MIN_LENGTHS = 5
# A change worth telling: the largest gap between the old and the new distribution function.
MATERIAL_GAP = 0.05
MIN_OBSERVATIONS_BETWEEN_NEWS = 50


class PoolLengths:
    """Recent lengths of one model. Answers that were cut off are not lengths and stay out."""

    def __init__(self) -> None:
        """Start empty."""
        self._lengths: deque[int] = deque(maxlen=WINDOW)
        self._distribution: LengthDistribution | None = None
        self._told: LengthDistribution | None = None
        self._since_told = 0

    def observe(self, output_tokens: int) -> None:
        """Add a length."""
        self._lengths.append(output_tokens)
        self._distribution = None
        self._since_told += 1

    def distribution(self) -> LengthDistribution | None:
        """The distribution of the window; None before `MIN_LENGTHS` lengths."""
        if self._distribution is None and len(self._lengths) >= MIN_LENGTHS:
            self._distribution = LengthDistribution.from_samples(self._lengths)
        return self._distribution

    def news(self) -> LengthDistribution | None:
        """The distribution if it changed materially since it was last told, at most once per 50 lengths.

        The first distribution is news at once.
        """
        if self._told is not None and self._since_told < MIN_OBSERVATIONS_BETWEEN_NEWS:
            return None
        current = self.distribution()
        if current is None or (self._told is not None and largest_gap(self._told, current) < MATERIAL_GAP):
            return None
        self._told = current
        self._since_told = 0
        return current


def largest_gap(a: LengthDistribution, b: LengthDistribution) -> float:
    """Kolmogorov distance: the largest difference of the two distribution functions, in [0, 1]."""
    tokens = np.union1d(a.tokens, b.tokens)
    return float(np.abs(_cumulative(a, tokens) - _cumulative(b, tokens)).max())


def _cumulative(distribution: LengthDistribution, tokens: np.ndarray) -> np.ndarray:
    below = np.searchsorted(distribution.tokens, tokens, side="right")
    return np.concatenate([[0.0], np.cumsum(distribution.weights)])[below]
