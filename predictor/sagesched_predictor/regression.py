"""Kernel ridge regression over records: many columns of targets, one factorisation. PURE.

Two prompts are alike by what they say (embedding), by how they look (request vector), and by what a learned
prior sees in them where there is one. Each has its Gaussian kernel and the regression takes their sum, so
that each kind can explain its own part:

    k(a, b) = exp((cos(a, b) - 1) / T) + exp(-|x_a - x_b|^2 / (2 w d))

with x the standardised request vector of d numbers. Sums did better than products or either part alone, and
widths matter little around the chosen ones (docs/decisions/0024-regression-over-the-whole-history.md).

Up to `MAX_LANDMARKS` prompts the solution is exact; beyond, records are seen through their kernels with so
many of them drawn at random (Nystroem's method, the subset of regressors), so the cost of a prediction is
bounded and that of a fit grows with the records only in proportion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_LANDMARKS = 1024
EMBEDDING_WIDTH = 0.6
VECTOR_WIDTH = 0.5
# Of a record's noise, in units of one kernel's variance.
RIDGE = 0.5
# A straight line through the prior's location costs this much per unit of slope squared.
LINE_RIDGE = 4.0
# Keeps the factorisation stable where prompts repeat; far below the noise.
JITTER = 1e-5
# A number that never varied in the history must not make a request that has another one a stranger to all.
SMALLEST_DEVIATION = 0.05
FARTHEST = 4.0
HIGHEST_LEVERAGE = 0.99
BLOCK = 512


@dataclass(frozen=True, slots=True)
class Standard:
    """Shift and scale of request vectors, as of the records.

    Attributes:
        mean: shape (d,).
        deviation: shape (d,), at least `SMALLEST_DEVIATION`.
    """

    mean: FloatMatrix
    deviation: FloatMatrix

    @classmethod
    def of(cls, vectors: FloatMatrix) -> Standard:
        """That of the rows of `vectors`."""
        return cls(vectors.mean(axis=0), np.maximum(vectors.std(axis=0), SMALLEST_DEVIATION))

    def __call__(self, vectors: FloatMatrix) -> FloatMatrix:
        """Standardised rows; far-out numbers count as `FARTHEST` deviations."""
        scaled: FloatMatrix = (vectors - self.mean) / self.deviation
        np.maximum(scaled, np.float32(-FARTHEST), out=scaled)
        np.minimum(scaled, np.float32(FARTHEST), out=scaled)
        return scaled


@dataclass(frozen=True, slots=True)
class Exponentials:
    """A regression as two products with landmarks, whatever they are made of.

        said = (exp(embedding landmarks') + exp(request landmark_requests')) weights

    Attributes:
        landmarks: float32 (landmarks, dimension).
        landmark_requests: float32 (landmarks, numbers of a request).
        weights: float32 (landmarks, columns of targets).
    """

    landmarks: FloatMatrix
    landmark_requests: FloatMatrix
    weights: FloatMatrix


class KernelFeatures:
    """Sees a prompt as its kernels with the landmarks, then 1 and a line in the prior's location."""

    def __init__(
        self, standard: Standard, embeddings: FloatMatrix, vectors: FloatMatrix, line: FloatArray
    ) -> None:
        """Take these records as landmarks; see `__call__` for the arguments."""
        self._standard = standard
        self._embeddings = np.ascontiguousarray(embeddings)
        # Half the squared distance of x and y is a product: of (x, 1, x^2/2) and (y, -y^2/2, -1), negative.
        x, one, squares = np.split(self.requests(vectors), (vectors.shape[1], vectors.shape[1] + 1), axis=1)
        scale = np.float32(1 / (VECTOR_WIDTH * vectors.shape[1]))
        self._landmark_requests = scale * np.concatenate([x, -squares, -one], axis=1)
        self._line_mean = float(line.mean())

    @property
    def request_size(self) -> int:
        """Columns of `requests`."""
        return int(self._landmark_requests.shape[1])

    def requests(self, vectors: FloatMatrix) -> FloatMatrix:
        """What of request vectors, (n, d), is multiplied with the landmarks, float32 (n, d + 2)."""
        n, d = vectors.shape
        requests = np.empty((n, d + 2), dtype=np.float32)
        standard = requests[:, :d]
        standard[:] = self._standard(vectors)
        requests[:, d] = 1
        requests[:, d + 1] = (standard * standard).sum(axis=1) / 2
        return requests

    def kernels(self, embeddings: FloatMatrix, vectors: FloatMatrix) -> FloatMatrix:
        """With each landmark, float32 (n, landmarks); see `__call__` for the arguments."""
        # Products this way round run over the landmarks' memory once.
        kernels = (self._embeddings @ embeddings.T).T - np.float32(1)
        kernels *= np.float32(1 / EMBEDDING_WIDTH)
        np.exp(kernels, out=kernels)
        gaps = (self._landmark_requests @ self.requests(vectors).T).T
        np.minimum(gaps, np.float32(0), out=gaps)
        kernels += np.exp(gaps, out=gaps)
        return kernels

    def line(self, location: FloatArray) -> FloatArray:
        """The last feature, for the prior's location."""
        return location - self._line_mean

    def __call__(self, embeddings: FloatMatrix, vectors: FloatMatrix, line: FloatArray) -> FloatMatrix:
        """Features, float32 (n, landmarks + 2).

        Args:
            embeddings: unit vectors, float32 (n, dimension).
            vectors: request vectors, float32 (n, d).
            line: the prior's location, shape (n,); zeros where there is no prior.
        """
        kernels = self.kernels(embeddings, vectors)
        features = np.empty((len(kernels), kernels.shape[1] + 2), dtype=np.float32)
        features[:, :-2] = kernels
        features[:, -2] = 1
        features[:, -1] = self.line(line)
        return features

    def exponentials(self, coefficients: FloatArray) -> Exponentials:
        """The kernels' part of a regression, given their coefficients (landmarks, columns)."""
        # exp((cos - 1) / T) = exp(-1 / T) exp(cos / T); the first factor goes into weights and requests.
        shift = 1 / EMBEDDING_WIDTH
        landmark_requests = self._landmark_requests.copy()
        landmark_requests[:, -2] += np.float32(shift)
        return Exponentials(
            self._embeddings * np.float32(1 / EMBEDDING_WIDTH),
            landmark_requests,
            (coefficients * np.exp(-shift)).astype(np.float32),
        )


class Together:
    """Which records are left out together, and how much each counts: answers to one prompt tell of the next.

    Attributes:
        weights: of the records, > 0, shape (n,).
        sums: weight of all that go with a record, itself included, shape (n,).
    """

    def __init__(self, numbers: IntArray, weights: FloatArray) -> None:
        """Those of one number go together.

        Args:
            numbers: shape (n,).
            weights: > 0, shape (n,).
        """
        _, self._group = np.unique(numbers, return_inverse=True)
        self.weights = weights
        self._of_groups = self._summed(weights)
        self.sums: FloatArray = self._of_groups[self._group]

    def means(self, targets: FloatArray) -> FloatArray:
        """Of the targets of all that go with a record, shape (n,)."""
        means: FloatArray = self._summed(self.weights * targets) / self._of_groups
        return means[self._group]

    def _summed(self, values: FloatArray) -> FloatArray:
        return np.bincount(self._group, values).astype(np.float64, copy=False)


class Solver:
    """A ridge problem made ready: afterwards each column of targets costs little."""

    def __init__(
        self,
        features: FloatMatrix,
        between: FloatMatrix,
        together: Together,
        ridge: float,
        num_judged: int,
    ) -> None:
        """Factorise.

        Args:
            features: of `KernelFeatures`, (n, p).
            between: kernels of the landmarks with one another, (p - 2, p - 2).
            together: weights of the records, and which are left out together.
            ridge: noise of a record in units of a kernel's variance.
            num_judged: so many of the last rows can be left out.
        """
        self._features = features
        self._together, weights = together, together.weights
        normal = self._summed(lambda rows, part: part.T @ (part * weights[rows, None].astype(np.float32)))
        normal[:-2, :-2] += ridge * between.astype(np.float64)
        normal[np.diag_indices_from(normal)] += JITTER * len(features)
        normal[-1, -1] += LINE_RIDGE
        self._inverse = np.linalg.inv((normal + normal.T) / 2)
        judged = features[-num_judged:].astype(np.float64)
        pulls = np.einsum("ij,ij->i", judged @ self._inverse, judged) * together.sums[-num_judged:]
        # How much each judged record, and what goes with it, pulls its own fit.
        self._leverages = np.clip(pulls, 0.0, HIGHEST_LEVERAGE)

    def solve(self, targets: FloatArray) -> FloatArray:
        """Coefficients (p,) for targets (n,)."""
        pulled = (self._together.weights * targets).astype(np.float32)
        coefficients: FloatArray = self._inverse @ self._summed(lambda rows, part: part.T @ pulled[rows])
        return coefficients

    def fitted(self, coefficients: FloatArray) -> FloatArray:
        """What the records are fitted to, shape (n,)."""
        return (self._features @ coefficients.astype(np.float32)).astype(np.float64)

    def left_out(self, targets: FloatArray, coefficients: FloatArray) -> FloatArray:
        """What each record is fitted to, the judged ones by those that do not go with it, shape (n,).

        Records that go together are fitted to the same, so leaving them out is leaving out one of their mean
        and all their weight.
        """
        fitted = self.fitted(coefficients)
        judged = slice(-len(self._leverages), None)
        means = self._together.means(targets)[judged]
        fitted[judged] = means - (means - fitted[judged]) / (1 - self._leverages)
        return fitted

    def _summed(self, product: Callable[[slice, FloatMatrix], FloatMatrix]) -> FloatArray:
        """Sum of a product over blocks of rows: single precision inside a block is fast and exact enough."""
        total: FloatArray | None = None
        for start in range(0, len(self._features), BLOCK):
            rows = slice(start, start + BLOCK)
            part = product(rows, self._features[rows]).astype(np.float64)
            total = part if total is None else total + part
        assert total is not None, "at least one record"
        return total
