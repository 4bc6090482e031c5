"""Online history: lengths seen for prompts that are similar to a new one.

The predictor of SageSched (arXiv 2603.07917): embeddings and observed lengths of the last 10,000 requests,
cosine similarity of at least 0.8, the empirical distribution of the accepted neighbours. The search is exact:
one product of the record matrix with the query.

Records of different models are never mixed. An answer that was cut off is kept, but not taken for a length:
that it would have been at least so long is a different kind of fact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sagesched_predictor.ring import FloatMatrix, IntArray, Ring


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What a model's history knows around one prompt.

    Attributes:
        similarities: cosine with each record whose length is known, float32 (records,).
        output_tokens: the lengths of these records, in the same order.
        prompt_tokens: prompt tokens of these records.
        near: which of them are neighbours.
        num_censored: neighbours among the answers that were cut off.
    """

    similarities: npt.NDArray[np.float32]
    output_tokens: IntArray
    prompt_tokens: IntArray
    near: npt.NDArray[np.bool_]
    num_censored: int

    @property
    def num_neighbours(self) -> int:
        """Neighbours with a known length."""
        return int(np.count_nonzero(self.near))


class History:
    """Records by model.

    Attributes:
        size: most records kept per model.
        dimension: length of an embedding.
        min_similarity: cosine from which a record is a neighbour.
    """

    def __init__(self, dimension: int, *, size: int = 10_000, min_similarity: float = 0.8) -> None:
        """Start empty."""
        self.size = size
        self.dimension = dimension
        self.min_similarity = min_similarity
        self._rings: dict[str, Ring] = {}

    def __len__(self) -> int:
        return sum(len(ring) for ring in self._rings.values())

    @property
    def models(self) -> list[str]:
        """Models with records, in order of their first."""
        return [model for model, ring in self._rings.items() if len(ring)]

    def ring(self, model: str) -> Ring:
        """The records of one model, made when there are none."""
        if model not in self._rings:
            self._rings[model] = Ring(self.size, self.dimension)
        return self._rings[model]

    def search(self, model: str, embeddings: FloatMatrix) -> list[Neighbourhood]:
        """Compare each row of `embeddings` (n, dimension; unit vectors) with all records of a model."""
        ring = self._rings.get(model)
        if ring is None or not len(ring):
            return [_NOTHING] * len(embeddings)
        known = ~ring.censored
        lengths, prompt_tokens = ring.output_tokens[known], ring.prompt_tokens[known]
        cosines = (ring.embeddings @ embeddings.T).T  # this way round is nearly twice as fast
        near = cosines >= self.min_similarity
        return [
            Neighbourhood(
                row[known], lengths, prompt_tokens, is_near[known], int(np.count_nonzero(is_near & ~known))
            )
            for row, is_near in zip(cosines, near, strict=True)
        ]


_NO_TOKENS = np.zeros(0, dtype=np.int64)
_NOTHING = Neighbourhood(
    np.zeros(0, dtype=np.float32), _NO_TOKENS, _NO_TOKENS, np.zeros(0, dtype=np.bool_), num_censored=0
)
