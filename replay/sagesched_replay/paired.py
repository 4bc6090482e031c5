"""What differs between two policies, and what is noise: paired ratios with 95 % intervals.

*Over seeds* (three or more traces): Student's interval of the mean log-ratio, one pair per trace. *Within one
trace*: block bootstrap. Requests are taken in blocks of consecutive arrivals, the same blocks for both
policies, since neighbours share a queue and are not independent. It shows the noise of this traffic, not of
other days.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BLOCKS = 40
DRAWS = 400
FEWEST_SEEDS = 3
_LEVEL = 0.95
# Student's t, 97.5 %, by degrees of freedom from 2 on; beyond, the normal one is near enough.
_T: Sequence[float] = (
    *(4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201),
    *(2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
_T_BEYOND = 1.99


class Ratio(NamedTuple):
    """A ratio to the base policy.

    Attributes:
        value: as measured.
        low: lower end of its 95 % interval; nan where none can be given.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Whether 1, no difference, is inside the interval."""
        return self.low <= 1.0 <= self.high


def over_seeds(values: Sequence[float], bases: Sequence[float]) -> Ratio:
    """Of one figure per seed, the same seeds in the same order; geometric mean."""
    logs = np.log(np.array(values)) - np.log(np.array(bases))
    value = float(np.exp(logs.mean()))
    if logs.size < FEWEST_SEEDS or not np.isfinite(logs).all():
        return Ratio(value, math.nan, math.nan)
    freedom = logs.size - 1
    student = _T[freedom - 2] if freedom - 2 < len(_T) else _T_BEYOND
    half = student * float(logs.std(ddof=1)) / math.sqrt(logs.size)
    return Ratio(value, value * math.exp(-half), value * math.exp(half))


def within_trace(
    values: FloatArray, bases: FloatArray, figure: Callable[[FloatArray], float], seed: int
) -> Ratio:
    """Of a figure of two runs of one trace, each over its own answers.

    Args:
        values: one per request in order of arrival; nan where there is no answer.
        bases: the same requests under the base policy.
        figure: such as the mean; sees no nan.
        seed: of the resampling.
    """

    def ratio(drawn: slice | IntArray) -> float:
        own, base = (column[drawn][np.isfinite(column[drawn])] for column in (values, bases))
        return figure(own) / figure(base) if own.size and base.size else math.nan

    value = ratio(slice(None))
    if min(np.isfinite(values).sum(), np.isfinite(bases).sum()) < 5 * BLOCKS:
        return Ratio(value, math.nan, math.nan)
    length = values.size // BLOCKS
    blocks = np.arange(BLOCKS * length).reshape(BLOCKS, length)
    rng = np.random.default_rng([seed, 4])
    ratios = [ratio(blocks[rng.integers(BLOCKS, size=BLOCKS)].ravel()) for _ in range(DRAWS)]
    low, high = np.quantile(ratios, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Ratio(value, float(low), float(high))
