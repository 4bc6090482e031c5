"""Figures of merit of predicted length distributions. PURE.

Order: Kendall's tau-b and Spearman's rho of the predicted mean with what happened. Width and scale: the
pinball loss of the quantiles, as a share of that of a forecaster who knows the marginal distribution and
nothing of the prompt; and how often what happened lies inside the central intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sagesched_predictor.distribution import LengthDistribution

FloatArray = npt.NDArray[np.float64]

PINBALL_LEVELS = np.round(np.arange(1, 10) / 10, 1)
INTERVALS = (0.5, 0.8, 0.9)
# Rows of the comparison matrix made at once: 2,000 x 20,000 signs of one byte are 40 MB.
ROWS_AT_ONCE = 2_000


def kendall_tau(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Kendall's tau-b of two sequences of equal length; 0 where one of them is constant."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    concordant = first_pairs = second_pairs = 0
    for start in range(0, first.size, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        signs = np.sign(first[rows, None] - first[None]).astype(np.int8)
        others = np.sign(second[rows, None] - second[None]).astype(np.int8)
        concordant += int((signs * others).sum(dtype=np.int64))
        first_pairs += int(np.count_nonzero(signs))
        second_pairs += int(np.count_nonzero(others))
    return (
        concordant / float(np.sqrt(float(first_pairs) * second_pairs))
        if first_pairs and second_pairs
        else 0.0
    )


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Spearman's rank correlation, ties sharing their mean rank; 0 where one sequence is constant."""
    first, second = (_ranks(np.asarray(values, dtype=np.float64)) for values in (a, b))
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 else 0.0


def pinball(quantiles: FloatArray, actual: FloatArray) -> float:
    """Mean pinball loss over `PINBALL_LEVELS`, tokens.

    Args:
        quantiles: predicted, shape (n, levels) or (levels,).
        actual: what happened, shape (n,).
    """
    error = actual[:, None] - quantiles
    return float(np.maximum(PINBALL_LEVELS * error, (PINBALL_LEVELS - 1) * error).mean())


def pinball_gain(distributions: Sequence[LengthDistribution], actual: FloatArray) -> float:
    """1 - pinball loss / that of the marginal distribution of `actual`; 0 where the marginal has no loss."""
    marginal = pinball(np.quantile(actual, PINBALL_LEVELS), actual)
    predicted = np.array([[d.quantile(float(level)) for level in PINBALL_LEVELS] for d in distributions])
    return 1 - pinball(predicted, actual) / marginal if marginal > 0 else 0.0


def coverage(distributions: Sequence[LengthDistribution], actual: FloatArray, share: float) -> float:
    """How often what happened lies in the central interval of this probability."""
    low, high = (1 - share) / 2, (1 + share) / 2
    inside = [d.quantile(low) <= x <= d.quantile(high) for d, x in zip(distributions, actual, strict=True)]
    return float(np.mean(inside))


def score(
    distributions: Sequence[LengthDistribution], actual: FloatArray, others: Sequence[FloatArray]
) -> dict[str, Any]:
    """All figures of one group of requests.

    Args:
        distributions: predicted, one per request, at least one.
        actual: what happened, tokens, shape (n,).
        others: lengths of other answers to the same prompt, possibly none, one array per request.

    Returns:
        `n`, `kendall_tau`, `kendall_ceiling` (None without other answers), `spearman`, `pinball_gain`,
        `coverage` by interval.
    """
    means = np.array([distribution.mean for distribution in distributions])
    known = [i for i, lengths in enumerate(others) if len(lengths)]
    ceiling = [float(np.mean(others[i])) for i in known]
    return {
        "n": len(distributions),
        "kendall_tau": kendall_tau(means, actual),
        "kendall_ceiling": kendall_tau(ceiling, actual[known]) if known else None,
        "spearman": spearman(means, actual),
        "pinball_gain": pinball_gain(distributions, actual),
        "coverage": {f"{share:g}": coverage(distributions, actual, share) for share in INTERVALS},
    }


def _ranks(values: FloatArray) -> FloatArray:
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    ranks: FloatArray = (below + upto - 1) / 2
    return ranks
