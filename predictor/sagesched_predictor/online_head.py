"""The online head: a regression over all that a pool has answered, refitted as it grows. PURE.

Rank carries over from one model to another only in part and scale not at all, so what a pool learns from its
own answers is worth more than any prior. The head regresses ln(output tokens) on embedding and request vector
(`regression.py`), as a difference to the learned prior's median where there is a prior: a line in that median
corrects its scale, kernels correct the rest.

The distribution around the mean comes from the residuals that each record has when all of its prompt are left
out, so it is as wide as predictions of new prompts are wrong, not as the fit is. A second regression, on the
logarithm of their size, tells wide prompts from narrow ones. Recent residuals count more, which is how the
head's calibration follows its pool.

Cut-off answers are targets at the length that they are expected to have come to, given that it is beyond the
cut (an EM step each round), and cut-off residuals to the product-limit estimator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sagesched_predictor.regression import (
    MAX_LANDMARKS,
    RIDGE,
    Exponentials,
    KernelFeatures,
    Solver,
    Standard,
    Together,
)
from sagesched_predictor.same_prompt import prompt_numbers
from sagesched_predictor.survival import expected_above, product_limit, quantiles

FloatMatrix = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
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
        prompt_tokens: of each prompt, shape (n,); with the embedding it tells answers to the same prompt.
    """

    embeddings: FloatMatrix
    vectors: FloatMatrix
    log_tokens: FloatArray
    censored: BoolArray
    offsets: FloatArray
    prompt_tokens: IntArray

    def part(self, rows: slice | BoolArray | npt.NDArray[np.intp]) -> Answers:
        """Some of them."""
        return Answers(
            embeddings=self.embeddings[rows],
            vectors=self.vectors[rows],
            log_tokens=self.log_tokens[rows],
            censored=self.censored[rows],
            offsets=self.offsets[rows],
            prompt_tokens=self.prompt_tokens[rows],
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
        num_judged, weights = n - judged.start, _recency(n, HALF_LIFE)
        prompts = prompt_numbers(answers.embeddings, answers.prompt_tokens)
        _, first_of_prompts = np.unique(prompts, return_index=True)
        landmarks = np.random.default_rng(seed).permutation(first_of_prompts)[:MAX_LANDMARKS]
        some = answers.part(landmarks)
        self._features = KernelFeatures(
            Standard.of(answers.vectors), some.embeddings, some.vectors, some.offsets
        )
        seen = self._features(answers.embeddings, answers.vectors, answers.offsets)
        between = seen[landmarks, :-2]
        together = Together(prompts, weights)
        solver = Solver(seen, between, together, RIDGE, num_judged)
        # The first landmarks, and what is no landmark.
        few = np.r_[: min(len(landmarks), MAX_SCALE_LANDMARKS), seen.shape[1] - 2, seen.shape[1] - 1]
        rough = between[np.ix_(few[:-2], few[:-2])]
        judged_together = Together(prompts[judged], weights[judged])
        scale_solver = Solver(seen[judged][:, few], rough, judged_together, SCALE_RIDGE, num_judged)
        # Columns: the mean, the logarithm of the residuals' size.
        self._coefficients = np.zeros((seen.shape[1], 2))
        recency = _recency(num_judged, RESIDUAL_HALF_LIFE)
        floors, cut = answers.log_tokens - answers.offsets, answers.censored
        targets = floors.copy()
        for _ in range(NUM_ROUNDS if cut.any() else 1):
            mean = solver.solve(targets)
            expected = solver.left_out(targets, mean)
            sizes = np.log(np.abs(targets - expected) + SMALLEST_RESIDUAL)[judged]
            self._middle_size = float(sizes.mean())
            size = scale_solver.solve(sizes - self._middle_size)
            left_out = scale_solver.left_out(sizes - self._middle_size, size)
            scales = _scales(left_out + self._middle_size)
            residuals, mass = product_limit((floors - expected)[judged] / scales, cut[judged], recency)
            if cut.any():
                scales = _scales(seen[cut][:, few] @ size + self._middle_size)
                least = (floors - expected)[cut] / scales
                targets[cut] = expected[cut] + scales * expected_above(residuals, mass, least)
        self._coefficients[:, 0], self._coefficients[few, 1] = mean, size
        self.standard_quantiles = quantiles(residuals, mass, levels)

    def predict(self, embeddings: FloatMatrix, vectors: FloatMatrix, offsets: FloatArray) -> FloatArray:
        """Quantiles of ln(output tokens) at the levels, shape (n, levels).

        Args:
            embeddings: unit vectors, float32 (n, dimension).
            vectors: request vectors, float32 (n, d).
            offsets: the prior's median, shape (n,); zeros where there is no prior.
        """
        return self.quantiles(self._features.kernels(embeddings, vectors) @ self._coefficients[:-2], offsets)

    def quantiles(self, said: FloatMatrix | FloatArray, offsets: FloatArray) -> FloatArray:
        """`predict`, given what `exponentials` say of the prompts, (n, 2)."""
        constant, slope = self._coefficients[-2:]
        said_of_all: FloatArray = said + constant + self._features.line(offsets)[:, None] * slope
        scales = _scales(said_of_all[:, 1] + self._middle_size)
        return (said_of_all[:, 0] + offsets)[:, None] + scales[:, None] * self.standard_quantiles

    @property
    def request_size(self) -> int:
        """Numbers in a `request`."""
        return self._features.request_size

    def exponentials(self) -> Exponentials:
        """What `predict` rests on, as a network takes it; its columns are mean and size."""
        return self._features.exponentials(self._coefficients[:-2])

    def request(self, vector: FloatMatrix) -> FloatMatrix:
        """What goes with `exponentials` for one request vector, (1, d); float32 (1, request_size)."""
        return self._features.requests(vector)


def _recency(n: int, half_life: float) -> FloatArray:
    """Weights of n records, oldest first, the last near 1."""
    return np.exp2((np.arange(n) - n) / half_life)


def _scales(log_sizes: FloatArray) -> FloatArray:
    # Several times as fast as `np.clip` where there are few.
    scales: FloatArray = np.minimum(np.maximum(np.exp(log_sizes), SMALLEST_SCALE), LARGEST_SCALE)
    return scales
