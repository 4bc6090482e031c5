"""Similarity-weighted lengths: from cosines to a distribution. PURE.

Two kernels over the same records, one wide and one sharp, blended by how much the sharp one has seen.

- wide, over the whole history: record i weighs exp(cos_i / wide - (ln I_i - ln I)^2 / (2 spread^2)), with I
  the prompt tokens (Nadaraya-Watson regression). An embedding that tells nothing has equal cosines to all
  records, and what is left is the pool-wide distribution; the more it tells, the more the nearer records
  count.
- sharp, over the neighbours (cosine of at least the history's `min_similarity`): record i counts
  c_i = exp((cos_i - 1) / sharp), so the same prompt seen again counts 1, a paraphrase at 0.95 counts 0.2, a
  mere relative at 0.85 counts 0.007.

The sharp one gets the share m / (m + prior), m = sum of c_i, the effective number of times that this prompt
was seen.

SageSched's paper takes all neighbours above 0.8 alike. Measured here, that beats the wide kernel only from
about eight neighbours on and loses below; weighting them by closeness loses nothing on prompts never seen and
gains most of what repeated prompts have to give. The constants were chosen on models and prompts other than
those of any reported figure; `bench/predictor_quality.py` prints what they are worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sagesched_predictor.distribution import LengthDistribution

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KernelShape:
    """The constants; `bench/predictor_constants.py` shows how they were chosen.

    Attributes:
        wide: temperature of the wide kernel, in units of cosine.
        spread: width of the wide kernel along prompt length, in units of ln tokens.
        sharp: temperature of the sharp kernel, in units of cosine.
        prior: how many sightings of the prompt itself the wide kernel is worth.
    """

    wide: float = 0.07
    spread: float = 0.5
    sharp: float = 0.03
    prior: float = 1.0


DEFAULT_SHAPE = KernelShape()


@dataclass(frozen=True, slots=True)
class KernelWeights:
    """How much each record counts for one prompt.

    Attributes:
        weights: shape (records,), sum 1.
        times_seen: effective number of times that the prompt was seen before.
    """

    weights: FloatArray
    times_seen: float


def kernel_weights(
    similarities: npt.NDArray[np.float32],
    near: npt.NDArray[np.bool_],
    log_length_gaps: FloatArray,
    shape: KernelShape = DEFAULT_SHAPE,
) -> KernelWeights:
    """Weights of the records for one prompt.

    Args:
        similarities: cosine with each record, shape (records,), at least one.
        near: which records are neighbours.
        log_length_gaps: ln of each record's prompt tokens minus ln of the prompt's.
        shape: the constants.

    Raises:
        ValueError: no records.
    """
    if similarities.size == 0:
        raise ValueError("need at least one record")
    cosines = similarities.astype(np.float64)
    exponents = cosines / shape.wide - log_length_gaps**2 / (2 * shape.spread**2)
    wide = np.exp(exponents - exponents.max())
    wide /= wide.sum()
    counts = np.where(near, np.exp((cosines - 1) / shape.sharp), 0.0)
    times_seen = float(counts.sum())
    return KernelWeights((counts + shape.prior * wide) / (times_seen + shape.prior), times_seen)


def kernel_distribution(weights: KernelWeights, output_tokens: npt.NDArray[np.int64]) -> LengthDistribution:
    """The weighted distribution of the records' lengths, tokens, shape (records,)."""
    return LengthDistribution.from_samples(output_tokens, weights.weights)
