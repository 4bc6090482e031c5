"""`Jobs`: every request of a trace as columns, since a batch is chosen by operations on whole columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sagesched_emulator.trace import TraceRequest

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Jobs:
    """Columns of n jobs in order of arrival; policies write `key` and their own columns, the engine the rest.

    Attributes:
        arrival: seconds.
        prompt: prompt tokens.
        output: true output tokens; only the engine, and oracles, may look.
        cap: most output tokens.
        generated: output tokens so far.
        key: order of service, smallest first.
        present: arrived and not finished.
        running: in the batch.
        swapped: its cache is in host memory.
        preemptions: times that it was put aside.
        discarded: output tokens generated in vain.
    """

    def __init__(self, requests: Sequence[TraceRequest]) -> None:
        """Nobody has arrived yet."""
        num = len(requests)
        self.arrival: FloatArray = np.array([request.arrival_s for request in requests])
        self.prompt: IntArray = np.array([request.prompt_tokens for request in requests], dtype=np.int64)
        self.output: IntArray = np.array([request.output_tokens for request in requests], dtype=np.int64)
        self.cap: IntArray = np.array([request.max_tokens for request in requests], dtype=np.int64)
        self.generated: IntArray = np.zeros(num, dtype=np.int64)
        self.key: FloatArray = np.zeros(num)
        self.present: BoolArray = np.zeros(num, dtype=np.bool_)
        self.running: BoolArray = np.zeros(num, dtype=np.bool_)
        self.swapped: BoolArray = np.zeros(num, dtype=np.bool_)
        self.preemptions: IntArray = np.zeros(num, dtype=np.int64)
        self.discarded: IntArray = np.zeros(num, dtype=np.int64)

    def __len__(self) -> int:
        return self.arrival.size

    def batch(self) -> IntArray:
        """Indices of what runs."""
        return np.flatnonzero(self.running)

    def waiting(self) -> IntArray:
        """Indices of what has arrived, does not run and is not done."""
        return np.flatnonzero(self.present & ~self.running)
