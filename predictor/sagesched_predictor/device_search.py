"""Prompts that are embedded and compared with their series' past in one run of the network, on its device.

On a GPU the network takes less time than the search and the head that follow it on a CPU, which find their
memory cold. So a copy of the embeddings of a full series, and of its head, is kept on the device, and a
prompt that comes alone is compared there. The copy is sent anew only after some answers: records added
since are compared here, and those that they replaced left out.

Prompts that come together are embedded together and compared here, one by one. What the device said of a
prompt is kept until the copy is sent anew, so that an equal prompt has an equal prediction, however it comes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sagesched_predictor.comparison import NEAREST, Comparison
from sagesched_predictor.device_copy import DeviceCopy
from sagesched_predictor.encoder import Encoder
from sagesched_predictor.errors import EncoderError
from sagesched_predictor.history import neighbourhood
from sagesched_predictor.online_head import OnlineHead
from sagesched_predictor.regression import MAX_LANDMARKS
from sagesched_predictor.ring import FloatMatrix, Ring
from sagesched_predictor.series import Compared, Series
from sagesched_predictor.sketch import Positions

# Fewer are compared as fast by the CPU.
MIN_RECORDS = 4096
# Answers after which a copy is sent anew, which takes a millisecond. Until then records that were replaced
# keep a few out of the nearest: the farthest, which count least.
RESEND = 128
# Series with a copy; 6 MB each, and the network's kernels are recorded for each.
MAX_COPIES = 4
# A series gives its copy up when so many other prompts came alone since its own last one.
IDLE = 512
# Comparisons kept per copy, 9 kB each.
MAX_KEPT = 256
# Records to try the device with, and how far its cosines may be off; products in TF32 have three digits.
NUM_TRIED = 1024
TOLERANCE = 0.01


def search_on_device(encoder: Encoder, on_problem: Callable[[str], object]) -> DeviceSearch | None:
    """A search, tried out, where this encoder is on a device and compares there.

    Args:
        encoder: of the prompts.
        on_problem: told in a sentence why there is none though there should be.
    """
    if not encoder.compares:
        return None
    try:
        _try_out(encoder)
    except EncoderError as error:
        on_problem(f"prompts are compared on the CPU: {error}")
        return None
    return DeviceSearch(encoder)


def _try_out(encoder: Encoder) -> None:
    """Raise EncoderError unless a recorded run, and a replayed one, find what numpy finds."""
    rng = np.random.default_rng(0)
    copy = encoder.new_copy(NUM_TRIED, num_landmarks=1, request_size=1)
    for _ in range(2):
        records = rng.normal(size=(NUM_TRIED, encoder.dimension)).astype(np.float32)
        records /= np.linalg.norm(records, axis=1, keepdims=True)
        copy.send_records(records)
        told = encoder.compare("a trial", np.zeros((1, 1), np.float32), copy)
        cosines = records @ told.embedding
        found, nearest = cosines[told.positions], np.sort(cosines)[-NEAREST:]
        off = max(np.abs(found - told.similarities).max(), np.abs(np.sort(found) - nearest).max())
        if not off < TOLERANCE:
            raise EncoderError(f"what the device found is not what is nearest (off by {off:.3f})")


class DeviceSearch:
    """Embeds and compares prompts of series that are full."""

    def __init__(self, encoder: Encoder) -> None:
        """Start without copies."""
        self._encoder = encoder
        self._places: list[_Place] = []
        self._most_places = MAX_COPIES
        self._num_asked = 0

    def run(self, key: bytes, prompt: str, vector: FloatMatrix, series: Series) -> FloatMatrix | None:
        """Embed a prompt and keep how it compares.

        Args:
            key: of the prompt.
            prompt: its text.
            vector: request vector, float32 (1, features).
            series: of the request.

        Returns:
            float32 (dimension,); None where the series is not full, or has no copy and no place is free.

        Raises:
            EncoderError: the encoder failed.
        """
        self._num_asked += 1
        place = self._place_for(series)
        if place is None:
            return None
        place.used_at = self._num_asked
        head = place.bring_up_to_date()
        comparison = self._encoder.compare(prompt, head.request(vector), place.copy)
        place.keep(key, vector, comparison)
        return comparison.embedding.copy()  # without the rest, which is not kept as long

    def compared(self, key: bytes, series: Series) -> Compared | None:
        """How a prompt compares with its series now, if `run` has told and it still holds."""
        place = self._place_of(series)
        return None if place is None else place.compared(key)

    def _place_of(self, series: Series) -> _Place | None:
        return next((place for place in self._places if place.series is series), None)

    def _place_for(self, series: Series) -> _Place | None:
        ring = series.ring
        # Room that is empty would have a cosine of 0, and be nearer than many a record.
        if not ring.size == len(ring) >= MIN_RECORDS or series.head is None:
            return None
        place = self._place_of(series)
        if place is not None:
            return place
        if len(self._places) < self._most_places:
            try:
                copy = self._encoder.new_copy(ring.size, MAX_LANDMARKS, series.head.request_size)
            except EncoderError:  # the engine has taken the rest; what is compared here needs none
                self._most_places = len(self._places)
                return None
            place = _Place(copy, series)
            self._places.append(place)
            return place
        if not self._places:
            return None
        place = min(self._places, key=lambda place: place.used_at)
        if self._num_asked - place.used_at < IDLE:
            return None
        place.give_to(series)
        return place


class _Place:
    """A copy, whose it is, and what was said with it."""

    def __init__(self, copy: DeviceCopy, series: Series) -> None:
        self.copy = copy
        self.used_at = 0
        self.give_to(series)

    def give_to(self, series: Series) -> None:
        self.series = series
        self._head: OnlineHead | None = None
        self._sent: _Sent | None = None
        self._kept: OrderedDict[bytes, tuple[FloatMatrix, Comparison]] = OrderedDict()

    def bring_up_to_date(self) -> OnlineHead:
        ring = self.series.ring
        if self._sent is None or not self._sent.holds(ring):
            self.copy.send_records(ring.embeddings)
            self._sent = _Sent.of(ring)
            self._kept.clear()
        head = self.series.head
        assert head is not None, "or there would be no place"
        if head is not self._head:
            self.copy.send_regression(head.exponentials())
            self._head = head
            self._kept.clear()
        return head

    def keep(self, key: bytes, vector: FloatMatrix, comparison: Comparison) -> None:
        self._kept[key] = vector, comparison
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def compared(self, key: bytes) -> Compared | None:
        ring, sent = self.series.ring, self._sent
        if self._head is None or sent is None or not sent.holds(ring) or key not in self._kept:
            return None
        vector, comparison = self._kept[key]
        positions, similarities = sent.corrected(comparison, ring)
        found = neighbourhood(ring, positions, similarities, self.series.min_similarity)
        return Compared(found, self._head, vector, comparison.said[None])


@dataclass(frozen=True, slots=True)
class _Sent:
    """How a ring was when its embeddings were sent."""

    num_appended: int
    num_rearranged: int

    @classmethod
    def of(cls, ring: Ring) -> _Sent:
        return cls(ring.num_appended, ring.num_rearranged)

    def holds(self, ring: Ring) -> bool:
        return ring.num_rearranged == self.num_rearranged and ring.num_appended - self.num_appended < RESEND

    def corrected(self, comparison: Comparison, ring: Ring) -> tuple[Positions, FloatMatrix]:
        """Positions of the nearest, and of all that are new, with their cosines."""
        positions, similarities = comparison.positions, comparison.similarities
        if ring.num_appended == self.num_appended:
            return positions, similarities
        new = ring.appended_since(self.num_appended)
        is_there = (positions - new[0]) % ring.size >= len(new)  # and not replaced by one of them
        of_new = ring.embeddings[new] @ comparison.embedding
        return (
            np.concatenate([positions[is_there], new]),
            np.concatenate([similarities[is_there], of_new]),
        )
