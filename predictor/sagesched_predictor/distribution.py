"""`LengthDistribution`: what is known about the number of output tokens of one request.

A discrete distribution of at most `MAX_ATOMS` atoms. It is PURE (numpy only), immutable, and the one module
of this package that the scheduling core imports. Tokens are counted as the served model's tokenizer counts
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

MAX_ATOMS = 64
# Shares of the whole below this are dropped: they change no figure and their quotients lose all precision.
NEGLIGIBLE = 1e-12

FloatArray = npt.NDArray[np.float64]


class LengthDistribution:
    """Probability atoms over output tokens.

    Attributes:
        tokens: shape (n,), float64, strictly increasing, each >= 1 (token counts).
        weights: shape (n,), float64, each > 0, summing to 1.
    """

    __slots__ = ("tokens", "weights")

    tokens: FloatArray
    weights: FloatArray

    def __init__(self, tokens: FloatArray, weights: FloatArray) -> None:
        """Take atoms as they are, checked. Use `from_samples` for raw observations.

        Raises:
            ValueError: shapes differ, no atom, more than `MAX_ATOMS`, tokens below 1 or not increasing, a
            weight
                that is not positive and finite, or weights that do not sum to 1 (within 1e-6).
        """
        tokens = np.array(tokens, dtype=np.float64)  # a copy, since it is frozen below
        weights = np.asarray(weights, dtype=np.float64)
        if tokens.ndim != 1 or tokens.shape != weights.shape or not 1 <= tokens.size <= MAX_ATOMS:
            raise ValueError(
                f"need equal 1-D shapes of 1..{MAX_ATOMS} atoms, got {tokens.shape}, {weights.shape}"
            )
        # What increases strictly between finite ends is finite all the way; nan compares false.
        if not (tokens[0] >= 1 and tokens[-1] < np.inf and (tokens[1:] > tokens[:-1]).all()):
            raise ValueError("tokens must be finite, at least 1 and strictly increasing")
        total = weights.sum()
        if not (weights.min() > 0 and abs(total - 1) < 1e-6):
            raise ValueError("weights must be positive and sum to 1")
        self.tokens = tokens
        self.weights = weights / total
        self.tokens.flags.writeable = False
        self.weights.flags.writeable = False

    @classmethod
    def from_samples(
        cls, samples: Iterable[float], weights: Iterable[float] | None = None
    ) -> LengthDistribution:
        """Build from observed lengths (tokens; below 1 counts as 1), merged to at most `MAX_ATOMS` atoms.

        Args:
            samples: observed output lengths, at least one.
            weights: one non-negative weight per sample, not all zero; equal weights when left out.

        Raises:
            ValueError: no samples, or weights of another length, negative, or all zero.
        """
        values = np.maximum(_as_array(samples), 1.0)
        mass = np.ones_like(values) if weights is None else _as_array(weights)
        if values.size == 0 or mass.shape != values.shape:
            raise ValueError("need at least one sample and as many weights as samples")
        if not np.isfinite(mass).all() or (mass < 0).any() or mass.sum() <= 0:
            raise ValueError("weights must be finite, non-negative and not all zero")
        return cls._from_mass(values, mass)

    @classmethod
    def point(cls, tokens: float) -> LengthDistribution:
        """All mass on one length."""
        return cls.from_samples([tokens])

    @classmethod
    def from_pairs(cls, pairs: Sequence[tuple[float, float]]) -> LengthDistribution:
        """Rebuild from `to_pairs`; raises ValueError as the constructor does."""
        array = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
        return cls(array[:, 0].copy(), array[:, 1].copy())

    def to_pairs(self) -> list[tuple[float, float]]:
        """Atoms as (tokens, weight), ready for JSON."""
        return [(float(t), float(w)) for t, w in zip(self.tokens, self.weights, strict=True)]

    @property
    def mean(self) -> float:
        """Expected output tokens."""
        return float(self.tokens @ self.weights)

    def quantile(self, q: float) -> float:
        """Smallest atom with P(O <= atom) >= q, in tokens; q in [0, 1]."""
        if not 0 <= q <= 1:
            raise ValueError(f"quantile must lie in [0, 1], got {q}")
        index = int(np.searchsorted(np.cumsum(self.weights), q - 1e-12))
        return float(self.tokens[min(index, self.tokens.size - 1)])

    def survival(self, generated: float) -> float:
        """P(O > generated)."""
        return float(self.weights[self.tokens > generated].sum())

    def given_at_least(self, generated: float) -> LengthDistribution:
        """The distribution given O >= generated; a point at `generated` where no atom is left."""
        keep = self.tokens >= generated
        if not keep.any():
            return LengthDistribution.point(generated)
        return LengthDistribution._from_mass(self.tokens[keep], self.weights[keep])

    def clipped(self, max_tokens: float) -> LengthDistribution:
        """The distribution of min(O, max_tokens)."""
        if self.tokens[-1] <= max_tokens:
            return self
        return LengthDistribution._from_mass(np.minimum(self.tokens, max(max_tokens, 1.0)), self.weights)

    def mixed_with(self, other: LengthDistribution, weight: float) -> LengthDistribution:
        """(1 - weight) of this and `weight` in [0, 1] of the other."""
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must lie in [0, 1], got {weight}")
        return LengthDistribution._from_mass(
            np.concatenate([self.tokens, other.tokens]),
            np.concatenate([self.weights * (1 - weight), other.weights * weight]),
        )

    @classmethod
    def _from_mass(cls, values: FloatArray, mass: FloatArray) -> LengthDistribution:
        """Sort, merge equal values, drop empty ones, reduce to `MAX_ATOMS`, normalise."""
        total = mass.sum()
        # Most come in order already, and finding that out is many times cheaper.
        is_ready = values.size <= MAX_ATOMS and (values[1:] > values[:-1]).all()
        if is_ready and mass.min() > NEGLIGIBLE * total:
            return cls(values, mass / total)
        values, inverse = np.unique(values, return_inverse=True)
        mass = np.bincount(inverse, weights=mass, minlength=values.size).astype(np.float64)
        keep = mass > NEGLIGIBLE * mass.sum()
        values, mass = values[keep], mass[keep] / mass[keep].sum()
        if values.size > MAX_ATOMS:
            values, mass = _reduced(values, mass)
        return cls(values, mass)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LengthDistribution)
            and np.array_equal(self.tokens, other.tokens)
            and np.allclose(self.weights, other.weights, rtol=0, atol=1e-12)
        )

    __hash__ = None  # type: ignore[assignment]  # equality is approximate

    def __repr__(self) -> str:
        return (
            f"LengthDistribution(n={self.tokens.size}, p10={self.quantile(0.1):.0f}, "
            f"p50={self.quantile(0.5):.0f}, p90={self.quantile(0.9):.0f})"
        )


def _reduced(values: FloatArray, mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Merge neighbours into `MAX_ATOMS` groups of about equal mass; each keeps its mean."""
    middle = np.cumsum(mass) - mass / 2
    group = np.minimum((middle * MAX_ATOMS).astype(np.int64), MAX_ATOMS - 1)
    _, group = np.unique(group, return_inverse=True)
    total = np.bincount(group, weights=mass).astype(np.float64)
    means = np.bincount(group, weights=mass * values) / total
    return means, total


def _as_array(numbers: Iterable[float]) -> FloatArray:
    """Arrays pass at array speed; `fromiter` would box each of ten thousand numbers."""
    if isinstance(numbers, np.ndarray):
        return numbers.astype(np.float64)
    return np.fromiter(numbers, dtype=np.float64)
