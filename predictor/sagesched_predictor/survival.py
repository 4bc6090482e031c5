"""Distributions from lengths of which some were cut off. PURE.

An answer that ran into its cap, or whose caller went away, is only known to be at least so long. Leaving such
answers out, or taking the cut for the length, makes predictions too short, and the more so the longer the
true answers are. The product-limit estimator (Kaplan and Meier, 1958) uses what is known of them: each cut
passes its weight on to all that is longer, in proportion.

Beyond the longest known length nothing can be learned. What is left there is put on the longest cut (Efron's
convention), the least that it can be.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def product_limit(
    values: FloatArray, censored: BoolArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The weighted product-limit distribution.

    Args:
        values: observed or, where `censored`, least possible values, shape (n,), n >= 1.
        censored: which of them were cut off, shape (n,).
        weights: how much each counts, >= 0, not all zero, shape (n,).

    Returns:
        The values in increasing order and the probability of each, summing to 1.
    """
    if not censored.any():
        order = np.argsort(values)
        return values[order], weights[order] / weights.sum()
    # At equal values, what ended comes before what was cut.
    order = np.lexsort((censored, values))
    values, weights = values[order], weights[order]
    ended = ~censored[order]
    at_risk = np.cumsum(weights[::-1])[::-1]
    hazards = np.where(ended & (at_risk > 0), weights / np.maximum(at_risk, np.finfo(float).tiny), 0.0)
    survival = np.cumprod(1 - np.minimum(hazards, 1.0))
    mass = np.concatenate([[1.0], survival[:-1]]) * np.minimum(hazards, 1.0)
    mass[-1] += survival[-1]
    return values, mass / mass.sum()


def quantiles(
    values: FloatArray, mass: FloatArray, levels: Sequence[float] | FloatArray | float
) -> FloatArray:
    """Quantiles of sorted `values` with `mass`, straight between the middles of neighbouring steps."""
    return np.interp(np.asarray(levels, dtype=np.float64), np.cumsum(mass) - mass / 2, values)


def expected_above(values: FloatArray, mass: FloatArray, floors: FloatArray) -> FloatArray:
    """E[X | X > floor] for each floor; the floor itself where nothing lies above it.

    Args:
        values: of X, increasing, shape (n,).
        mass: probability of each, shape (n,).
        floors: shape (m,).
    """
    first = np.searchsorted(values, floors, side="right")
    mass_above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])[first]
    moment_above = np.concatenate([np.cumsum((mass * values)[::-1])[::-1], [0.0]])[first]
    expected = moment_above / np.maximum(mass_above, np.finfo(float).tiny)
    return np.where(mass_above > 1e-9, np.maximum(expected, floors), floors)
