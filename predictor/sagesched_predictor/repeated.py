"""What earlier answers to the very same prompt say of the next one. PURE.

The sources of a prediction speak of prompts like this one. Answers to the same prompt have more in common
than that: by how much they were off, in units of the predicted spread, goes together. Taken as a random
effect of the prompt (a one-way random effects model; best linear unbiased prediction, Henderson, 1975), with
rho the correlation between two answers, k of them that were off by z on average move the next one by g z, and
leave 1 - g rho of its variance, where g = k rho / (1 + (k - 1) rho).

Both are learned from the pool's own answers: rho by least squares of the next answer on those before it (a
step of Gauss and Newton each, older answers fading), and the variance by how far off it is then. Where
prompts taken for the same have nothing in common, rho goes to 0, and nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sagesched_predictor.survival import expected_above

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# What is assumed before anything is learned, and how many answers that is worth.
FIRST_CORRELATION = 0.5
FIRST_WORTH = 10.0
LARGEST_CORRELATION = 0.98
# Of what was learned, an answer later.
KEPT = 0.995
# Residuals beyond are taken for so many spreads: a single answer that ran away is to change little.
LARGEST_RESIDUAL = 4.0
SMALLEST_SPREAD = 0.05
# Between the quantiles 0.1 and 0.9 of a normal distribution, in standard deviations.
_TENTHS_APART = 2.563


@dataclass(frozen=True, slots=True)
class Earlier:
    """Answers to the same prompt, in no order.

    Attributes:
        log_tokens: ln of their output tokens, shape (n,), n >= 0.
        censored: which were cut off there, shape (n,).
    """

    log_tokens: FloatArray
    censored: BoolArray


NONE_EARLIER = Earlier(np.zeros(0), np.zeros(0, dtype=np.bool_))

_PRODUCT, _SQUARE, _LEFT, _WORTH = range(4)


def first_sums() -> FloatArray:
    """What is assumed before anything is learned, shape (4,).

    Two sums of the normal equation for rho; the squares of what was left, in units of what should have been;
    and of how many answers these are.
    """
    return FIRST_WORTH * np.array([FIRST_CORRELATION, 1.0, 1.0, 1.0])


class Repeats:
    """How much earlier answers to the same prompt count in one series."""

    def __init__(self, levels: tuple[float, ...], sums: FloatArray | None = None) -> None:
        """Go on from what was learned.

        Args:
            levels: of quantiles; 0.1, 0.5 and 0.9 must be among them.
            sums: as `first_sums`, changed in place; these when left out.
        """
        self._low, self._middle, self._high = (levels.index(level) for level in (0.1, 0.5, 0.9))
        between = (np.array(levels[1:]) + levels[:-1]) / 2
        self._mass = np.diff(between, prepend=0.0, append=1.0)
        self._sums = first_sums() if sums is None else sums

    @property
    def correlation(self) -> float:
        """Between two answers to the same prompt, of by how much they are off; 0 to `LARGEST_CORRELATION`."""
        return min(max(float(self._sums[_PRODUCT] / self._sums[_SQUARE]), 0.0), LARGEST_CORRELATION)

    def gain(self, num_earlier: int) -> float:
        """What share of its mean residual so many earlier answers pass on to the next, 0 to 1."""
        return num_earlier * self.correlation / (1 + (num_earlier - 1) * self.correlation)

    def corrected(self, quantiles: FloatArray, earlier: Earlier) -> FloatArray:
        """Quantiles of ln(output tokens) given earlier answers, shape (levels,), increasing if they were."""
        if not earlier.log_tokens.size:
            return quantiles
        middle, spread = quantiles[self._middle], self._spread(quantiles)
        gain = self.gain(earlier.log_tokens.size)
        mean = float(self._residuals(quantiles, earlier).mean())
        narrower = np.sqrt((1 - gain * self.correlation) * self._sums[_LEFT] / self._sums[_WORTH])
        moved: FloatArray = middle + gain * mean * spread + narrower * (quantiles - middle)
        return moved

    def learn(self, quantiles: FloatArray, earlier: Earlier, answer: Earlier) -> None:
        """Take note of one `answer`, given what was predicted without the earlier ones, and these."""
        if not earlier.log_tokens.size:
            return
        before, (now,) = self._residuals(quantiles, earlier), self._residuals(quantiles, answer)
        rho, mean = self.correlation, float(before.mean())
        gain = self.gain(before.size)
        slope = mean * before.size / (1 + (before.size - 1) * rho) ** 2  # of gain * mean, by rho
        left = now - gain * mean
        self._sums *= KEPT
        self._sums[_PRODUCT] += slope * (left + slope * rho)
        self._sums[_SQUARE] += slope**2
        self._sums[_LEFT] += min(left**2 / (1 - gain * rho), LARGEST_RESIDUAL**2)
        self._sums[_WORTH] += 1

    def _spread(self, quantiles: FloatArray) -> float:
        return max(float(quantiles[self._high] - quantiles[self._low]) / _TENTHS_APART, SMALLEST_SPREAD)

    def _residuals(self, quantiles: FloatArray, answers: Earlier) -> FloatArray:
        """By how many spreads answers are off; one that was cut off counts as what is expected beyond."""
        log_tokens = answers.log_tokens
        if answers.censored.any():
            beyond = expected_above(quantiles, self._mass, log_tokens)
            log_tokens = np.where(answers.censored, beyond, log_tokens)
        off = (log_tokens - quantiles[self._middle]) / self._spread(quantiles)
        residuals: FloatArray = np.minimum(np.maximum(off, -LARGEST_RESIDUAL), LARGEST_RESIDUAL)
        return residuals
