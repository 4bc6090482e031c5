"""The Gittins index of a discrete cost distribution.

For a cost X of which c has been consumed, Y = X − c given X > c, the index in cost form is

    G(X, c) = inf over Δ > 0 of  E[min(Y, Δ)] / P(Y ≤ Δ)             [units of X], smaller is served first

(J. Gittins; the SageSched paper, arXiv 2603.07917, section 3.3). The infimum is attained at an atom: between
two atoms the denominator stands still while the numerator grows. So with atoms y₁ < … < yₙ, weights w and
tails Tₖ = P(Y > yₖ),

    G = min over k of  (Σ_{i≤k} wᵢyᵢ + Tₖ·yₖ) / Σ_{i≤k} wᵢ            O(n)

*Limit cases.* A known cost x gives x − c. Half 10, half 1000 gives 20 where the mean is 505; 2 after 9
consumed; 990 after 10. G never exceeds the mean (k = n) nor falls below the smallest atom. Nothing left above
c (it has outlived every atom): the index is infinite, it goes last.

*Numerical care.* Tails are sums from the right, not 1 − sum: a tail of 1e-12 keeps its digits. All terms are
positive.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def gittins_index(values: FloatArray, weights: FloatArray, consumed: float = 0.0) -> float:
    """Index of a distribution with sorted atoms.

    Args:
        values: atoms of X, shape (n,), non-decreasing, > 0.
        weights: their probabilities, shape (n,), > 0 (any positive total: they are conditioned anyway).
        consumed: c, in units of X, >= 0.

    Returns:
        The index in units of X; infinity when no atom lies above `consumed`.
    """
    if consumed > 0:
        left = values > consumed
        values, weights = values[left] - consumed, weights[left]
        if values.size == 0:
            return float("inf")
    within = np.add.accumulate(weights)
    spent = np.add.accumulate(weights * values)
    spent += tails(weights) * values
    spent /= within
    return float(np.minimum.reduce(spent))


def tails(weights: FloatArray) -> FloatArray:
    """Weight strictly to the right of each atom, shape (n,); the last is exactly 0."""
    right = np.empty_like(weights)
    right[-1] = 0.0
    np.add.accumulate(weights[:0:-1], out=right[-2::-1])
    return right
