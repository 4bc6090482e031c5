"""How much each source of a prediction counts, learned from the pool's own answers. PURE.

Sources speak in quantiles of ln(output tokens), and the blend is their weighted mean, level by level: a mean
of quantiles keeps the width of its parts, where a mixture of distributions adds their disagreement to it.

A source's weight grows with what it rests on: the prior is worth a fixed number of records, head and
neighbours as many as the pool has. On top of that each has a factor that follows its merit: a step down the
gradient of the pinball loss, at all levels, of every answer as it comes (exponentiated gradient, Kivinen and
Warmuth, 1997), before the answer joins the history.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SOURCES = ("prior", "head", "history", "pool")
# Weights before anything is learned, in records: of the prior, and of the pool-wide distribution.
PRIOR_RECORDS = 40.0
POOL_RECORDS = 2.0
# Head and neighbours share what the records are worth.
HEAD_SHARE = 0.7
LEARNING_RATE = 0.2
# No source is written off for good: traffic changes.
LARGEST_MERIT = 2.0


def weights_of(sizes: FloatArray, merits: FloatArray) -> FloatArray:
    """Weights of the sources, summing to 1, each >= 0; a source of size 0 has weight 0.

    Args:
        sizes: in records, >= 0, not all zero, shape (..., sources).
        merits: logarithms of the factors, shape (sources,).
    """
    raw = sizes * np.exp(merits)
    weights: FloatArray = raw / raw.sum(axis=-1, keepdims=True)
    return weights


class Blend:
    """Merits of the sources of one series.

    Attributes:
        merits: logarithm of each source's factor, shape (sources,).
    """

    def __init__(self, levels: Sequence[float], merits: FloatArray | None = None) -> None:
        """Go on from these merits, changing them in place; with all sources equal when left out."""
        self._levels = np.array(levels)
        self.merits = np.zeros(len(SOURCES)) if merits is None else merits

    def combine(self, quantiles: FloatArray, sizes: FloatArray) -> FloatArray:
        """Blended quantiles (levels,) from those of each source, (sources, levels)."""
        return weights_of(sizes, self.merits) @ quantiles

    def learn(self, quantiles: FloatArray, sizes: FloatArray, log_tokens: float, censored: bool) -> None:
        """Take note of an answer.

        Args:
            quantiles: what each source had said, (sources, levels).
            sizes: what they rested on, (sources,).
            log_tokens: ln of the answer's length.
            censored: the answer was cut off there.
        """
        weights = weights_of(sizes, self.merits)
        blended = weights @ quantiles
        is_below = (blended > log_tokens).astype(np.float64)
        if censored:
            # How likely the whole answer is below each quantile, given that it is beyond the cut.
            passed = float(np.interp(log_tokens, blended, self._levels, left=0.0, right=1.0))
            is_below *= np.maximum(self._levels - passed, 0.0) / max(1.0 - passed, 1e-6)
        slopes = quantiles @ (is_below - self._levels) / len(self._levels)
        self.merits -= LEARNING_RATE * weights * (slopes - weights @ slopes)
        np.clip(self.merits, -LARGEST_MERIT, LARGEST_MERIT, out=self.merits)
