"""Similarity-weighted lengths: from cosines to a distribution. PURE.

Record i weighs exp(cos_i / T - (ln I_i - ln I)^2 / (2 s^2)), with I the prompt tokens, T the temperature and
s the spread (Nadaraya-Watson regression of the distribution). An embedding that tells nothing has equal
cosines to all records, and what is left is the pool-wide distribution; the more it tells, the more the nearer
records count.

A narrow kernel orders best, but where only one or two records are near it is too sure of itself. So there are
two of them, the second `broadening` times as wide in both directions, and the narrow one gets the share
n / (n + prior), where n = 1 / sum w_i^2 is the number of records that it effectively rests on.

SageSched's paper takes all neighbours above a cosine of 0.8 alike, and nothing else. With this encoder and
few neighbours that orders worse than the kernel over everything, and weighting by closeness is never worse.
The constants were chosen on models and prompts other than those of any reported figure
(`bench/predictor_constants.py`); `bench/predictor_quality.py` prints what they are worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KernelShape:
    """The constants.

    Attributes:
        temperature: width of the narrow kernel, in units of cosine.
        spread: its width along prompt length, in units of ln tokens.
        broadening: the broad kernel's widths, in units of the narrow one's.
        prior: how many records the broad kernel is worth.
    """

    temperature: float = 0.06
    spread: float = 0.3
    broadening: float = 2.0
    prior: float = 4.0


DEFAULT_SHAPE = KernelShape()


def kernel_weights(
    similarities: npt.NDArray[np.float32], log_length_gaps: FloatArray, shape: KernelShape = DEFAULT_SHAPE
) -> FloatArray:
    """Weights of the records for one prompt, summing to 1.

    Args:
        similarities: cosine with each record, shape (records,), at least one.
        log_length_gaps: ln of each record's prompt tokens minus ln of the prompt's, shape (records,).
        shape: the constants.

    Raises:
        ValueError: no records.
    """
    if similarities.size == 0:
        raise ValueError("need at least one record")
    cosines = similarities.astype(np.float64)
    narrow = _kernel(cosines / shape.temperature, log_length_gaps / shape.spread)
    broad = _kernel(
        cosines / (shape.temperature * shape.broadening), log_length_gaps / (shape.spread * shape.broadening)
    )
    num_effective = 1 / float(narrow @ narrow)
    share = num_effective / (num_effective + shape.prior)
    return share * narrow + (1 - share) * broad


def _kernel(scaled_cosines: FloatArray, scaled_gaps: FloatArray) -> FloatArray:
    exponents = scaled_cosines - scaled_gaps**2 / 2
    weights: FloatArray = np.exp(exponents - exponents.max())
    weights /= weights.sum()
    return weights
