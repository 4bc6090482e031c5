"""The online head: a regression over all that a pool has answered, refitted as it grows. PURE.

Rank carries over from one model to another only in part and scale not at all, so what a pool learns from its
own answers is worth more than any prior. The head regresses ln(output tokens) on embedding and request vector
(`regression.py`), as a difference to the learned prior's median where there is a prior: a line in that median
corrects its scale, kernels correct the rest.

The distribution around the mean comes from the residuals that each record has when it is left out, so it is
as wide as predictions of new prompts are wrong, not as the fit is. A second regression, on the logarithm of
their size, tells wide prompts from narrow ones. Recent residuals count more, which is how the head's
calibration follows its pool.

Cut-off answers are targets at the length that they are expected to have come to, given that it is beyond the
cut (an EM step each round), and cut-off residuals to the product-limit estimator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sagesched_predictor.regression import MAX_LANDMARKS, RIDGE, KernelFeatures, Solver, Standard
from sagesched_predictor.survival import expected_above, product_limit, quantiles

FloatMatrix = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Fewer records say nothing that the pool-wide distribution does not.
MIN_RECORDS = 16
# Age in records at which a record counts half: for what prompts mean, and for how far predictions are off.
HALF_LIFE = 8_000
RESIDUAL_HALF_LIFE = 500
# The size of residuals needs more smoothing than their sign.
SCALE_RIDGE = 10.0
MAX_SCALE_LANDMARKS = 256
# Residuals of older records have next to no weight any more.
MAX_JUDGED = 2_500
SMALLEST_RESIDUAL = 0.05
SMALLEST_SCALE, LARGEST_SCALE = 0.05, 3.0
NUM_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a head is fitted to, oldest first.

    Attributes:
        embeddings: unit vectors, float32 (n, dimension).
        vectors: request vectors, float32 (n, d).
        log_tokens: ln of the output tokens, shape (n,).
        censored: where the answer was cut off there, shape (n,).
        offsets: the prior's median of ln(output tokens), shape (n,); zeros where there is no prior.
    """

    embeddings: FloatMatrix
    vectors: FloatMatrix
    log_tokens: FloatArray
    censored: BoolArray
    offsets: FloatArray

    def part(self, rows: slice | BoolArray | npt.NDArray[np.intp]) -> Answers:
        """Some of them."""
        return Answers(
            embeddings=self.embeddings[rows],
            vectors=self.vectors[rows],
            log_tokens=self.log_tokens[rows],
            censored=self.censored[rows],
            offsets=self.offsets[rows],
        )


class OnlineHead:
    """A fitted head; never changed, only replaced.

    Attributes:
        num_records: how many it was fitted to.
        standard_quantiles: of the residuals in units of their scale, at `levels`.
    """

    def __init__(self, answers: Answers, levels: tuple[float, ...], seed: int = 0) -> None:
        """Fit.

        Args:
            answers: at least `MIN_RECORDS`, of which some are not cut off.
            levels: of the quantiles to predict.
            seed: of the choice of landmarks.
        """
        self.num_records = n = len(answers.log_tokens)
        judged = slice(max(0, n - MAX_JUDGED), n)
        recent, rng = answers.part(judged), np.random.default_rng(seed)
        self._features, solver = _prepared(answers, MAX_LANDMARKS, RIDGE, rng)
        self._scale_features, scale_solver = _prepared(recent, MAX_SCALE_LANDMARKS, SCALE_RIDGE, rng)
        recency = _recency(len(recent.log_tokens), RESIDUAL_HALF_LIFE)
        floors, cut = answers.log_tokens - answers.offsets, answers.censored
        targets = floors.copy()
        for _ in range(NUM_ROUNDS if cut.any() else 1):
            self._mean = solver.solve(targets)
            expected = solver.left_out(targets, self._mean)
            sizes = np.log(np.abs(targets - expected) + SMALLEST_RESIDUAL)[judged]
            self._middle_size = float(sizes.mean())
            self._size = scale_solver.solve(sizes - self._middle_size)
            left_out = scale_solver.left_out(sizes - self._middle_size, self._size)
            scales = _scales(left_out + self._middle_size)
            residuals, mass = product_limit((floors - expected)[judged] / scales, cut[judged], recency)
            if cut.any():
                scales = self._scale(answers.part(cut))
                least = (floors - expected)[cut] / scales
                targets[cut] = expected[cut] + scales * expected_above(residuals, mass, least)
        self.standard_quantiles = quantiles(residuals, mass, levels)

    def predict(self, embeddings: FloatMatrix, vectors: FloatMatrix, offsets: FloatArray) -> FloatArray:
        """Quantiles of ln(output tokens) at the levels, shape (n, levels).

        Args:
            embeddings: unit vectors, float32 (n, dimension).
            vectors: request vectors, float32 (n, d).
            offsets: the prior's median, shape (n,); zeros where there is no prior.
        """
        middles = self._features(embeddings, vectors, offsets) @ self._mean + offsets
        sizes = self._scale_features(embeddings, vectors, offsets) @ self._size
        scales = _scales(sizes + self._middle_size)
        return middles[:, None] + scales[:, None] * self.standard_quantiles

    def _scale(self, answers: Answers) -> FloatArray:
        """How wide the distribution of each is."""
        sizes = self._scale_features(answers.embeddings, answers.vectors, answers.offsets) @ self._size
        return _scales(sizes + self._middle_size)


def _prepared(
    answers: Answers, most_landmarks: int, ridge: float, rng: np.random.Generator
) -> tuple[KernelFeatures, Solver]:
    n = len(answers.log_tokens)
    landmarks = rng.permutation(n)[:most_landmarks]
    some = answers.part(landmarks)
    features = KernelFeatures(Standard.of(answers.vectors), some.embeddings, some.vectors, some.offsets)
    seen = features(answers.embeddings, answers.vectors, answers.offsets)
    return features, Solver(seen, landmarks, _recency(n, HALF_LIFE), ridge, min(n, MAX_JUDGED))


def _recency(n: int, half_life: float) -> FloatArray:
    """Weights of n records, oldest first, the last near 1."""
    return np.exp2((np.arange(n) - n) / half_life)


def _scales(log_sizes: FloatArray) -> FloatArray:
    return np.clip(np.exp(log_sizes), SMALLEST_SCALE, LARGEST_SCALE)
