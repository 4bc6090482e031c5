"""How a prompt compares with past ones, where the encoder's network tells it with the embedding. PURE.

Such a network has these inputs more, all float32:

- `records` (any, dimension), at least `NEAREST` rows: embeddings of past prompts.
- `landmarks` (any, dimension), `landmark_requests` (as many, any), `weights` (as many, `SAID`) and `request`
  (1, as wide as `landmark_requests`): a regression on exponentials, see `regression.Exponentials`.

And a second output `compared`, float32 (batch, `width`): the embedding, the cosines of the nearest records,
their positions among `records`, and what the regression says.

On a GPU all but `request` stays on the device, and one run saves the search and the head that would follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float32]

RECORDS, LANDMARKS, LANDMARK_REQUESTS, WEIGHTS = "records", "landmarks", "landmark_requests", "weights"
COMPARED_WITH = (RECORDS, LANDMARKS, LANDMARK_REQUESTS, WEIGHTS)
REQUEST, COMPARED = "request", "compared"
# Nearest records that are looked at: beyond these the weights of `kernel.py` are negligible.
NEAREST = 512
# Mean, and logarithm of the residuals' size; see `online_head.py`.
SAID = 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """What such a network says of one prompt.

    Attributes:
        embedding: unit vector, float32 (dimension,).
        similarities: cosines with the nearest records, float32 (NEAREST,), in no order.
        positions: where these are among the records, shape (NEAREST,).
        said: by the regression, float32 (SAID,).
    """

    embedding: FloatMatrix
    similarities: FloatMatrix
    positions: npt.NDArray[np.int64]
    said: FloatMatrix

    @classmethod
    def read(cls, row: FloatMatrix, dimension: int) -> Comparison:
        """Take a row of `compared` apart."""
        positions_at = dimension + NEAREST
        positions = row[positions_at : positions_at + NEAREST].astype(np.int64)
        return cls(row[:dimension], row[dimension:positions_at], positions, row[positions_at + NEAREST :])


def width(dimension: int) -> int:
    """Numbers in a row of `compared`."""
    return dimension + 2 * NEAREST + SAID
