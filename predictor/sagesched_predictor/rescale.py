"""Stretching and shifting predicted lengths on the logarithmic scale. PURE."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sagesched_predictor.distribution import LengthDistribution


@dataclass(frozen=True, slots=True)
class Rescale:
    """ln x' = ln m + shift + stretch (ln x - ln m), with m the median: order of medians is kept.

    Attributes:
        shift: of ln tokens.
        stretch: of the distance to the median, > 0.
    """

    shift: float = 0.0
    stretch: float = 1.0

    @property
    def is_identity(self) -> bool:
        """Nothing is changed."""
        return self.shift == 0 and self.stretch == 1

    @property
    def factor(self) -> float:
        """How many times as long the answers are taken to be."""
        return math.exp(self.shift)

    def apply(self, distribution: LengthDistribution, max_tokens: float = math.inf) -> LengthDistribution:
        """The rescaled distribution, cut at `max_tokens`."""
        if self.is_identity:
            return distribution
        logs = np.log(distribution.tokens)
        middle = math.log(distribution.quantile(0.5))
        tokens = np.exp(middle + self.shift + self.stretch * (logs - middle))
        return LengthDistribution.from_samples(np.minimum(tokens, max(max_tokens, 1.0)), distribution.weights)


UNCHANGED = Rescale()
