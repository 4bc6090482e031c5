"""How familiar a prompt is to the trained network, and how much wider its quantiles must be where it is not.

A network is right about the kinds of prompts that it was trained on, and as sure of itself about any other.
Prompts of a new kind are all off in the same direction, by an amount that nobody can know beforehand: a
random effect of the kind, taken to be normal in ln tokens with a standard deviation of

    s = STRANGENESS * (1 - largest cosine of the embedding with an anchor)

and anchors the centres of the training prompts, so a prompt like those that were trained on keeps its width.
Its variance adds to that of the answer: a quantile at level p, d away from the median, moves to the root of
d^2 + (s z_p)^2, with z_p that of the normal distribution. The median moves down by s^2 / 2, as that of a
lognormal does whose mean is kept: not knowing a prompt is no reason to expect more of it, and the order by
means stays what was learned.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from sagesched_predictor.prior import LEVELS
from sagesched_predictor.training.network import FloatMatrix
from sagesched_predictor.training.shape import MIDDLE

NUM_ANCHORS = 256
# Prompts that the anchors are centres of, drawn as they are drawn in training.
NUM_DRAWN = 8192
NUM_ROUNDS = 10
# So that 90 % intervals of a cold prior hold 90 % on average over models with a name and without one:
# `bench/unfamiliar_prompts.py`.
STRANGENESS = 1.75
# Quantiles of the standard normal distribution at `LEVELS`.
NORMAL_QUANTILES: FloatMatrix = np.array([NormalDist().inv_cdf(level) for level in LEVELS], dtype=np.float32)
# Which way from the median each level lies.
SIDES: FloatMatrix = np.sign(np.arange(len(LEVELS)) - MIDDLE).astype(np.float32)


def anchors_of(embeddings: FloatMatrix) -> FloatMatrix:
    """Centres of unit vectors (n, dimension) by cosine, unit vectors (`NUM_ANCHORS`, dimension).

    Spherical k-means from the first rows, so come in a random order; fewer rows are taken round and round.
    """
    centres = np.resize(embeddings, (NUM_ANCHORS, embeddings.shape[1]))
    for _ in range(NUM_ROUNDS):
        nearest = (embeddings @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, embeddings)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        # Where none is nearest, or all cancel out, the centre stays.
        centres = np.where(norms > 0, sums / np.where(norms > 0, norms, 1), centres)
    return centres.astype(np.float32)


def with_strangeness(
    log_quantiles: FloatMatrix,
    embeddings: FloatMatrix,
    anchors: FloatMatrix,
    strangeness: float = STRANGENESS,
) -> FloatMatrix:
    """Log quantiles (n, levels), wider where the prompts' embeddings (n, dimension) are unfamiliar."""
    deviations = strangeness * (1 - (embeddings @ anchors.T).max(axis=1, keepdims=True))
    middle = log_quantiles[:, MIDDLE : MIDDLE + 1]
    gaps = log_quantiles - middle
    away = SIDES * np.sqrt(gaps**2 + (NORMAL_QUANTILES * deviations) ** 2, dtype=np.float32)
    widened: FloatMatrix = middle - deviations**2 / 2 + away
    return widened
