"""The pool-wide distribution: lengths of all recent answers of one model, whatever the prompt.

What a request is taken for until history speaks, and what a request without a prediction sorts by.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.prior import LEVELS
from sagesched_predictor.survival import product_limit, quantiles

# Wide enough for the tail (twenty answers above its 99th percentile), short enough to follow a change of
# traffic.
WINDOW = 2_000
# Below this a single odd answer would speak for everybody.
MIN_LENGTHS = 5
# A change worth telling: the largest gap between the old and the new distribution function.
MATERIAL_GAP = 0.05
MIN_OBSERVATIONS_BETWEEN_NEWS = 50


class PoolLengths:
    """Recent lengths of one model; what was cut off counts as at least so long (`survival.py`)."""

    def __init__(self) -> None:
        """Start empty."""
        self._lengths: deque[tuple[int, bool]] = deque(maxlen=WINDOW)
        self._num_whole = 0
        self._distribution: LengthDistribution | None = None
        self._log_quantiles: npt.NDArray[np.float64] | None = None
        self._told: LengthDistribution | None = None
        self._since_told = 0

    def observe(self, output_tokens: int, censored: bool = False) -> None:
        """Add a length, or a least length where the answer was cut off there."""
        if len(self._lengths) == WINDOW:
            self._num_whole -= not self._lengths[0][1]
        self._lengths.append((output_tokens, censored))
        self._num_whole += not censored
        self._distribution = self._log_quantiles = None
        self._since_told += 1

    def distribution(self) -> LengthDistribution | None:
        """The distribution of the window; None before `MIN_LENGTHS` whole answers."""
        if self._distribution is None and self._num_whole >= MIN_LENGTHS:
            columns = np.array(self._lengths, dtype=np.float64)
            lengths, mass = product_limit(columns[:, 0], columns[:, 1] > 0, np.ones(len(columns)))
            self._distribution = LengthDistribution.from_samples(lengths, mass)
        return self._distribution

    def log_quantiles(self) -> npt.NDArray[np.float64] | None:
        """Quantiles of ln(output tokens) at `LEVELS`, (levels,); None before `MIN_LENGTHS` whole answers."""
        distribution = self.distribution()
        if distribution is None:
            return None
        if self._log_quantiles is None:
            self._log_quantiles = quantiles(np.log(distribution.tokens), distribution.weights, LEVELS)
        return self._log_quantiles

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
