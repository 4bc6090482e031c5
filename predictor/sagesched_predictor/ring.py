"""The last records of one series, in arrays that a search can run over without copying."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sagesched_predictor.lessons import Lessons
from sagesched_predictor.sketch import Sketch, sketch_of

FloatMatrix = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

FIRST_CAPACITY = 256
# The sketch is made anew when this share of a full ring is new: what prompts differ in changes with them.
RESKETCH_SHARE = 1 / 4


class Ring:
    """FIFO of at most `size` records; the views below share one order, which is not the order of arrival.

    Attributes:
        size: most records kept.
        num_appended: records ever added; grows by one with each.
        num_rearranged: how often records came to other positions.
        sketch: of the embeddings; None while they are few or where it would tell too little.
        lessons: what was learned beside the records.
    """

    def __init__(self, size: int, dimension: int, num_features: int) -> None:
        """Start empty; memory grows with use. Raises ValueError for a size or dimension below 1."""
        if size < 1 or dimension < 1:
            raise ValueError(f"size and dimension must be at least 1, got {size} and {dimension}")
        self.size = size
        self.num_appended = 0
        self.num_rearranged = 0
        self.sketch: Sketch | None = None
        self.lessons = Lessons()
        self._sketched_at = 0
        self._count = 0
        self._next = 0
        capacity = min(FIRST_CAPACITY, size)
        self._columns: dict[str, npt.NDArray[Any]] = {
            "embeddings": np.zeros((capacity, dimension), dtype=np.float32),
            "vectors": np.zeros((capacity, num_features), dtype=np.float32),
            "output_tokens": np.zeros(capacity, dtype=np.int64),
            "prompt_tokens": np.zeros(capacity, dtype=np.int64),
            "censored": np.zeros(capacity, dtype=np.bool_),
            "offsets": np.zeros(capacity, dtype=np.float64),
            "recorded_at": np.zeros(capacity, dtype=np.float64),
        }

    def __len__(self) -> int:
        return self._count

    @property
    def embeddings(self) -> FloatMatrix:
        """Unit vectors, (records, dimension)."""
        return self._columns["embeddings"][: self._count]

    @property
    def vectors(self) -> FloatMatrix:
        """Request vectors, (records, features)."""
        return self._columns["vectors"][: self._count]

    @property
    def output_tokens(self) -> IntArray:
        """Observed output tokens; where `censored`, the answer would have been at least this long."""
        return self._columns["output_tokens"][: self._count]

    @property
    def prompt_tokens(self) -> IntArray:
        """Prompt tokens."""
        return self._columns["prompt_tokens"][: self._count]

    @property
    def censored(self) -> BoolArray:
        """Whether the answer was cut off."""
        return self._columns["censored"][: self._count]

    @property
    def offsets(self) -> FloatArray:
        """The prior's median of ln(output tokens) as it was for the prompt; 0 without a prior."""
        return self._columns["offsets"][: self._count]

    @property
    def recorded_at(self) -> FloatArray:
        """When the record was made, Unix seconds."""
        return self._columns["recorded_at"][: self._count]

    def append(
        self,
        embedding: FloatMatrix,
        vector: FloatMatrix,
        *,
        output_tokens: int,
        prompt_tokens: int,
        censored: bool,
        offset: float = 0.0,
        recorded_at: float = 0.0,
    ) -> None:
        """Add a record, in place of the oldest when full."""
        if self._next == self._capacity and self._capacity < self.size:
            self._grow()
        at = self._next % self.size
        columns = self._columns
        columns["embeddings"][at] = embedding
        columns["vectors"][at] = vector
        columns["output_tokens"][at] = output_tokens
        columns["prompt_tokens"][at] = prompt_tokens
        columns["censored"][at] = censored
        columns["offsets"][at] = offset
        columns["recorded_at"][at] = recorded_at
        self._next = at + 1
        self._count = max(self._count, at + 1)
        self.num_appended += 1
        self._keep_sketch(at)

    def by_age(self) -> IntArray:
        """Positions of all records, oldest first."""
        if self._count < self.size:
            return np.arange(self._count)
        return (np.arange(self._count) + self._next) % self._count

    def appended_since(self, num_appended: int) -> IntArray:
        """Positions of the records added since `num_appended`, one behind the other, round the ring.

        They are that as long as `num_rearranged` stays the same.
        """
        num_new = min(self.num_appended - num_appended, self.size)
        return np.arange(self._next - num_new, self._next) % self.size

    def forget_before(self, unix_s: float) -> int:
        """Drop records made before this instant; returns how many."""
        kept = self.by_age()
        kept = kept[self.recorded_at[kept] >= unix_s]
        dropped = self._count - len(kept)
        if dropped:
            for name, column in self._columns.items():
                fresh = np.zeros_like(column)
                fresh[: len(kept)] = column[kept]
                self._columns[name] = fresh
            self._count = self._next = len(kept)
            self.num_rearranged += 1
            self._make_sketch()
        return dropped

    def _keep_sketch(self, appended: int) -> None:
        if self.num_appended - self._sketched_at >= RESKETCH_SHARE * self.size:
            self._make_sketch()
        elif self.sketch is not None:
            self.sketch.put(appended, self.embeddings[appended])

    def _make_sketch(self) -> None:
        self.sketch = sketch_of(self.embeddings, self.size)
        self._sketched_at = self.num_appended

    @property
    def _capacity(self) -> int:
        return len(self._columns["output_tokens"])

    def _grow(self) -> None:
        extra = min(2 * self._capacity, self.size) - self._capacity
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.zeros_like(column[:1].repeat(extra, axis=0))])
