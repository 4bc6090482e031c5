"""The last records of one model, in arrays that a search can run over without copying."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

FIRST_CAPACITY = 256


class Ring:
    """FIFO of at most `size` records; the views below share one order, which is not the order of arrival.

    Attributes:
        size: most records kept.
    """

    def __init__(self, size: int, dimension: int) -> None:
        """Start empty; memory grows with use. Raises ValueError for a size or dimension below 1."""
        if size < 1 or dimension < 1:
            raise ValueError(f"size and dimension must be at least 1, got {size} and {dimension}")
        self.size = size
        self._count = 0
        self._next = 0
        capacity = min(FIRST_CAPACITY, size)
        self._embeddings: FloatMatrix = np.zeros((capacity, dimension), dtype=np.float32)
        self._output_tokens: IntArray = np.zeros(capacity, dtype=np.int64)
        self._prompt_tokens: IntArray = np.zeros(capacity, dtype=np.int64)
        self._censored: BoolArray = np.zeros(capacity, dtype=np.bool_)

    def __len__(self) -> int:
        return self._count

    @property
    def embeddings(self) -> FloatMatrix:
        """Unit vectors, (records, dimension)."""
        return self._embeddings[: self._count]

    @property
    def output_tokens(self) -> IntArray:
        """Observed output tokens; where `censored`, the answer would have been at least this long."""
        return self._output_tokens[: self._count]

    @property
    def prompt_tokens(self) -> IntArray:
        """Prompt tokens."""
        return self._prompt_tokens[: self._count]

    @property
    def censored(self) -> BoolArray:
        """Whether the answer was cut off."""
        return self._censored[: self._count]

    def append(
        self, embedding: FloatMatrix, *, output_tokens: int, prompt_tokens: int, censored: bool
    ) -> None:
        """Add a record, in place of the oldest when full."""
        if self._next == self._output_tokens.size and self._output_tokens.size < self.size:
            self._grow()
        at = self._next % self.size
        self._embeddings[at] = embedding
        self._output_tokens[at] = output_tokens
        self._prompt_tokens[at] = prompt_tokens
        self._censored[at] = censored
        self._next = at + 1
        self._count = max(self._count, at + 1)

    def by_age(self) -> IntArray:
        """Positions of all records, oldest first."""
        if self._count < self.size:
            return np.arange(self._count)
        return (np.arange(self._count) + self._next) % self._count

    def _grow(self) -> None:
        capacity = min(2 * self._output_tokens.size, self.size)
        extra = capacity - self._output_tokens.size
        self._embeddings = np.concatenate([self._embeddings, np.zeros_like(self._embeddings[:extra])])
        self._output_tokens = np.concatenate([self._output_tokens, np.zeros(extra, dtype=np.int64)])
        self._prompt_tokens = np.concatenate([self._prompt_tokens, np.zeros(extra, dtype=np.int64)])
        self._censored = np.concatenate([self._censored, np.zeros(extra, dtype=np.bool_)])
