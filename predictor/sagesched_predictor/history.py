"""Online history: lengths seen for prompts that are similar to a new one.

The predictor of SageSched (arXiv 2603.07917): embeddings and observed lengths of the last 10,000 requests,
compared with a new prompt by cosine. Records of different series (model, sampling regime) are never mixed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sagesched_predictor.comparison import NEAREST
from sagesched_predictor.request_features import NUM_FEATURES
from sagesched_predictor.ring import BoolArray, FloatMatrix, IntArray, Ring
from sagesched_predictor.series_key import SeriesKey
from sagesched_predictor.sketch import Positions

# Records that are compared in full where a sketch says which (`sketch.py`).
NUM_COMPARED = 768
# Of a full series' 20 MB; callers name models, so their number must be bounded.
MAX_SERIES = 32


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The records nearest to one prompt, in no order.

    Attributes:
        similarities: cosine with each, float32 (n,).
        output_tokens: their lengths.
        prompt_tokens: their prompt tokens.
        censored: which of the answers were cut off at that length.
        num_near: how many are as similar as a neighbour must be.
    """

    similarities: npt.NDArray[np.float32]
    output_tokens: IntArray
    prompt_tokens: IntArray
    censored: BoolArray
    num_near: int


class History:
    """Records by series.

    Attributes:
        size: most records kept per series.
        dimension: length of an embedding.
        min_similarity: cosine from which a record is told as a neighbour.
    """

    def __init__(self, dimension: int, *, size: int = 10_000, min_similarity: float = 0.8) -> None:
        """Start empty."""
        self.size = size
        self.dimension = dimension
        self.min_similarity = min_similarity
        self._rings: OrderedDict[SeriesKey, Ring] = OrderedDict()
        self._num_given_up = 0

    def __len__(self) -> int:
        return sum(len(ring) for ring in self._rings.values())

    @property
    def num_appended(self) -> int:
        """Grows by one with every record added; nothing else changes it."""
        return self._num_given_up + sum(ring.num_appended for ring in self._rings.values())

    @property
    def keys(self) -> list[SeriesKey]:
        """Series with records, the one that was longest not added to first."""
        return [key for key, ring in self._rings.items() if len(ring)]

    @property
    def models(self) -> list[str]:
        """Models with records."""
        return list(dict.fromkeys(key.model for key in self.keys))

    def ring(self, key: SeriesKey) -> Ring:
        """The records of one series, made when there are none; beyond `MAX_SERIES` one that rests goes."""
        if key not in self._rings:
            self._rings[key] = Ring(self.size, self.dimension, NUM_FEATURES)
            while len(self._rings) > MAX_SERIES:
                _, given_up = self._rings.popitem(last=False)
                self._num_given_up += given_up.num_appended
        self._rings.move_to_end(key)
        return self._rings[key]

    def find(self, key: SeriesKey) -> Ring | None:
        """The records of one series, if there are any."""
        return self._rings.get(key)

    def forget_before(self, unix_s: float) -> int:
        """Drop records made before this instant; returns how many."""
        return sum(ring.forget_before(unix_s) for ring in self._rings.values())


def nearest(ring: Ring, embeddings: FloatMatrix, min_similarity: float) -> list[Neighbourhood]:
    """Compare each row of `embeddings` (n, dimension; unit vectors) with the records of a ring."""
    return [_nearest(ring, embedding, min_similarity) for embedding in embeddings]


def _nearest(ring: Ring, embedding: FloatMatrix, min_similarity: float) -> Neighbourhood:
    chosen: slice | Positions = slice(None)
    if ring.sketch is not None and len(ring) > NUM_COMPARED:
        chosen = ring.sketch.likely_nearest(embedding, len(ring), NUM_COMPARED)
    return neighbourhood(ring, chosen, ring.embeddings[chosen] @ embedding, min_similarity)


def neighbourhood(
    ring: Ring, chosen: slice | Positions, similarities: FloatMatrix, min_similarity: float
) -> Neighbourhood:
    """The nearest of some records of a ring, given their cosines with a prompt, float32 (chosen,)."""
    if len(similarities) > NEAREST:
        among = np.argpartition(similarities, len(similarities) - NEAREST)[-NEAREST:]
        similarities = similarities[among]
        chosen = among if isinstance(chosen, slice) else chosen[among]
    return Neighbourhood(
        similarities,
        ring.output_tokens[chosen],
        ring.prompt_tokens[chosen],
        ring.censored[chosen],
        int(np.count_nonzero(similarities >= min_similarity)),
    )
