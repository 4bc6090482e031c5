"""When each recorded request was in the engine, and beside what.

A sequence that generates holds its prompt and its output so far; between its first and last token it is
taken to progress evenly. From that follow, for every instant, how many sequences generated and how many
tokens they had cached.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sagesched_emulator.dataset import DatasetError
from sagesched_replay.formats.text import lines_of

FloatArray = npt.NDArray[np.float64]

FEWEST = 100
_FIELDS = ("arrival_s", "queue_s", "ttft_s", "ttlt_s", "prompt_tokens", "output_tokens")


class Spans(NamedTuple):
    """Requests that streamed, one entry each; instants are seconds after the first arrival.

    Attributes:
        arrival: at the gateway.
        start: sent to the engine.
        first: its first token.
        last: its last token.
        prompt: prompt tokens.
        output: output tokens.
        whole: 1 for a whole answer, 0 for one cut short: it took room, and is not fitted to.
    """

    arrival: FloatArray
    start: FloatArray
    first: FloatArray
    last: FloatArray
    prompt: FloatArray
    output: FloatArray
    whole: FloatArray


def read_spans(path: Path) -> Spans:
    """Read a recording.

    Raises:
        DatasetError: a line is wrong, or too few requests streamed to tell anything.
    """
    rows = []
    for number, line in lines_of(path):
        try:
            row = _row(json.loads(line))
        except (ValueError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path}:{number}: not a line of a recording: {error}") from error
        if row is not None:
            rows.append(row)
    if len(rows) < FEWEST:
        raise DatasetError(
            f"{path}: {len(rows)} requests with queue_s, ttft_s, ttlt_s and two output tokens or more, "
            f"at least {FEWEST} are needed "
            "to fit an engine; is it a recording of a gateway, and do callers stream?"
        )
    columns = np.array(rows).T
    columns[:4] -= columns[0].min()
    return Spans(*columns)


def _row(fields: Mapping[str, object]) -> tuple[float, ...] | None:
    values = [fields.get(name) for name in _FIELDS]
    if any(value is None for value in values) or fields.get("evictions"):
        return None  # not streamed, not started, or started twice: when it ran is not known
    arrival, queue, ttft, ttlt, prompt, output = (float(str(value)) for value in values)
    if not all(math.isfinite(value) and value >= 0 for value in (arrival, queue, ttft, ttlt, prompt, output)):
        raise ValueError("times and counts must be numbers >= 0")
    if output < 2 or not queue <= ttft < ttlt:
        return None
    whole = float(fields.get("outcome", "completed") == "completed")
    return (arrival, arrival + queue, arrival + ttft, arrival + ttlt, prompt, output, whole)


class Occupancy:
    """What generates, as functions of time, and their integrals."""

    def __init__(self, spans: Spans) -> None:
        """Sum over all spans."""
        rate = (spans.output - 1) / (spans.last - spans.first)
        fixed = spans.prompt + 1 - rate * spans.first  # tokens at t: fixed + rate t
        at = np.concatenate([spans.first, spans.last])
        order = np.argsort(at, kind="stable")
        self.times: FloatArray = at[order]

        def summed(change: FloatArray) -> FloatArray:
            return np.cumsum(np.concatenate([change, -change])[order])

        self.count: FloatArray = summed(np.ones_like(rate))
        """Sequences from each of `times` to the next."""
        self._fixed, self._rate = summed(fixed), summed(rate)
        left, right = self.times[:-1], self.times[1:]
        width = right - left
        tokens = self._fixed[:-1] * width + self._rate[:-1] * (right**2 - left**2) / 2
        self.tokens: FloatArray = np.divide(tokens, width, out=np.zeros_like(width), where=width > 0)
        """Mean cached tokens between each of `times` and the next."""
        self._counts = np.concatenate([[0.0], np.cumsum(self.count[:-1] * width)])
        self._tokens = np.concatenate([[0.0], np.cumsum(tokens)])

    def mean_count(self, begin: FloatArray, end: FloatArray) -> FloatArray:
        """Sequences that generated, mean over each span."""
        return self._mean(self._counts, begin, end)

    def mean_tokens(self, begin: FloatArray, end: FloatArray) -> FloatArray:
        """Tokens that they had cached, mean over each span."""
        return self._mean(self._tokens, begin, end)

    def _mean(self, integral: FloatArray, begin: FloatArray, end: FloatArray) -> FloatArray:
        difference = integral[np.searchsorted(self.times, end)] - integral[np.searchsorted(self.times, begin)]
        return np.asarray(difference / (end - begin), dtype=np.float64)
