"""How much runs at once, from what ran while others waited in the gateway's queue.

While somebody waits, the engine is as full as the gateway lets it be. Where the number of sequences then
hardly moves, slots are what is scarce; else memory is. What is not scarce never showed its limit and is taken
to be ample: memory for the longest request seen in every slot, or `AMPLE_SLOTS`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sagesched_emulator.dataset import DatasetError
from sagesched_replay.fitting.spans import FloatArray, Occupancy, Spans

WAITED_S = 0.05
LEAST_BUSY_S = 10.0
AMPLE_SLOTS = 256
_STEADY = 0.5
_FULL = 0.97


class Limits(NamedTuple):
    """Of an engine.

    Attributes:
        slots: places in the running batch.
        kv_tokens: tokens that the KV cache holds.
        word: how they were found, for people.
    """

    slots: int
    kv_tokens: int
    word: str


def find_limits(spans: Spans, name: str, slots: int | None, kv_tokens: int | None) -> Limits:
    """Find what is not given.

    Raises:
        DatasetError: nobody waited, so that the recording cannot tell.
        ValueError: a given limit is below 1.
    """
    if (slots is not None and slots < 1) or (kv_tokens is not None and kv_tokens < 1):
        raise ValueError("slots and KV tokens must be at least 1")
    if slots is not None and kv_tokens is not None:
        return Limits(slots, kv_tokens, "limits as given")
    occupancy = Occupancy(spans)
    width = np.diff(occupancy.times)
    busy = _somebody_waits(spans, occupancy) & (width > 0)
    busy_s = float(width[busy].sum())
    if busy_s < LEAST_BUSY_S:
        raise DatasetError(
            f"{name}: requests waited in the gateway for {busy_s:.0f} s in all, {LEAST_BUSY_S:.0f} s or more "
            "are needed to see how much the engine takes at once; give --slots and --kv-tokens to `fit`"
        )
    count, tokens, weight = occupancy.count[:-1][busy], occupancy.tokens[busy], width[busy]
    most_count, most_tokens = _high(count, weight), _high(tokens, weight)
    full = float(weight[count >= _FULL * most_count].sum()) / busy_s
    by_slots = full >= _STEADY
    word = (
        f"while others waited ({busy_s:.0f} s) up to {most_count:.0f} sequences "
        f"with {most_tokens:.0f} tokens ran; " + ("slots were scarce" if by_slots else "memory was scarce")
    )
    longest = float((spans.prompt + spans.output).max())
    found_slots = most_count if by_slots else max(AMPLE_SLOTS, 2 * most_count)
    found_tokens = most_count * longest if by_slots else most_tokens
    return Limits(slots or int(np.ceil(found_slots)), kv_tokens or int(np.ceil(found_tokens)), word)


def _somebody_waits(spans: Spans, occupancy: Occupancy) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """For each stretch between two of the occupancy's times."""
    waited = spans.start - spans.arrival > WAITED_S
    began, ended = np.sort(spans.arrival[waited]), np.sort(spans.start[waited])
    at = occupancy.times[:-1]
    waiting = np.searchsorted(began, at, side="right") - np.searchsorted(ended, at, side="right")
    return np.asarray(waiting > 0)


def _high(values: FloatArray, weights: FloatArray) -> float:
    """99th percentile over time."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(reached, 0.99)])
