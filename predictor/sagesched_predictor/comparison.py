"""How a prompt compares with past ones, where the encoder's network tells it with the embedding. PURE.

A network that compares has two inputs more, `records` and `landmarks`, both float32 (any, dimension) with
rows of length 1 and at least `TOLD` records, and a second output `compared`, float32 (batch, `width`):
embedding, cosines of the nearest records, their positions among `records`, cosines with the landmarks.

On a GPU what is compared with stays on the device, and one run saves the search that would follow it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float32]

RECORDS, LANDMARKS, COMPARED = "records", "landmarks", "compared"
# Nearest records that are looked at: beyond these the weights of `kernel.py` are negligible.
NEAREST = 512
# So many are told, since the last ones may have been replaced by others meanwhile.
TOLD = 640


@dataclass(frozen=True, slots=True)
class Comparison:
    """What such a network says of one prompt.

    Attributes:
        embedding: unit vector, float32 (dimension,).
        similarities: cosines with the nearest records, float32 (TOLD,), in no order.
        positions: where these are among the records, shape (TOLD,).
        landmarks: cosines with the landmarks, float32 (landmarks,).
    """

    embedding: FloatMatrix
    similarities: FloatMatrix
    positions: npt.NDArray[np.int64]
    landmarks: FloatMatrix

    @classmethod
    def read(cls, row: FloatMatrix, dimension: int) -> Comparison:
        """Take a row of `compared` apart."""
        rows_at = dimension + TOLD
        positions = row[rows_at : rows_at + TOLD].astype(np.int64)
        return cls(row[:dimension], row[dimension:rows_at], positions, row[rows_at + TOLD :])


def width(dimension: int, num_landmarks: int) -> int:
    """Numbers in a row of `compared`."""
    return dimension + 2 * TOLD + num_landmarks
