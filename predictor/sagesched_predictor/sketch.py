"""The embeddings of many records in few numbers each, to find those that are worth comparing in full. PURE.

Comparing a prompt with ten thousand records takes as long as their embeddings take to be read: 5 MB, more
than a core's own cache holds. Most of what prompts differ in lies in few directions (the leading eigenvectors
of the records' second moments), so products along these are read first, a quarter of the memory, and the best
of them are then compared in full.

Approximate is only which records are compared: of the 512 nearest of a real prompt ten are missed, those at
the far end, which count least (docs/figures.md). Where the leading directions hold too little of an encoder's
embeddings there is no sketch, and everything is compared.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float32]
Positions = npt.NDArray[np.intp]

NUM_DIRECTIONS = 32
# Of the squared lengths. The shipped encoder's hold 0.84 on prompts of six sets; where they hold 0.5, as with
# the 384 numbers of MiniLM itself, every sixth of the nearest would be missed.
LEAST_SHARE = 0.75
# Numbers in the embeddings, 3 MB, up to which comparing everything is as fast.
SMALL = 768_000
# Records from which directions are learned; more do not change them.
LEARNED_FROM = 2048


class Sketch:
    """Products of records with the leading directions; positions are those in the ring."""

    def __init__(self, directions: FloatMatrix, embeddings: FloatMatrix, size: int) -> None:
        """Take in records.

        Args:
            directions: orthonormal columns, float32 (dimension, NUM_DIRECTIONS).
            embeddings: of the records, float32 (records, dimension).
            size: most records that there will be.
        """
        self._directions = directions
        self._products = np.zeros((size, directions.shape[1]), dtype=np.float32)
        self._products[: len(embeddings)] = embeddings @ directions

    def put(self, position: int, embedding: FloatMatrix) -> None:
        """Take in one record, in place of what was there."""
        self._products[position] = embedding @ self._directions

    def likely_nearest(self, embedding: FloatMatrix, num_records: int, num: int) -> Positions:
        """Positions of `num` of the first `num_records`, in no order: those nearest along the directions."""
        rough = self._products[:num_records] @ (embedding @ self._directions)
        return np.argpartition(rough, num_records - num)[-num:]


def sketch_of(embeddings: FloatMatrix, size: int) -> Sketch | None:
    """A sketch of these records; None where there are few, or it would not tell enough of them.

    Args:
        embeddings: unit vectors, float32 (records, dimension).
        size: most records that there will be.
    """
    if embeddings.size < SMALL or embeddings.shape[1] <= NUM_DIRECTIONS:
        return None
    some = embeddings[:: -(-len(embeddings) // LEARNED_FROM)]
    energies, directions = np.linalg.eigh(some.T @ some)  # increasing
    if energies[-NUM_DIRECTIONS:].sum() < LEAST_SHARE * energies.sum():
        return None
    return Sketch(np.ascontiguousarray(directions[:, -NUM_DIRECTIONS:]), embeddings, size)
