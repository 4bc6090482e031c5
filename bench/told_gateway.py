"""`sagesched-gateway serve` with stated predictions instead of learnt ones; started by benches.

    python bench/told_gateway.py gateway.yaml intervals.json

The second file maps the SHA-256 of a prompt to the ends of an interval of output tokens; the prediction is
evenly spread over it. Everything else is the gateway as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sagesched_gateway import gateway
from sagesched_gateway.dispatch.ports import Prediction, PredictionListener, PredictorState
from sagesched_gateway.server import serve
from sagesched_gateway.settings.config_file import load_config
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.features import Outcome, PromptFeatures

ATOMS = 64


def digest_of(prompt: str) -> str:
    """The name of a prompt in the file."""
    return hashlib.sha256(prompt.encode()).hexdigest()


class ToldPredictor:
    """Answers with the interval that was stated; learns nothing."""

    is_on = True

    def __init__(self, intervals: Mapping[str, tuple[int, int]]) -> None:
        self._intervals = intervals
        self._listener: PredictionListener | None = None

    def listen(self, listener: PredictionListener) -> None:
        """See `LengthPredictor`."""
        self._listener = listener

    def predict(self, request_id: str, features: PromptFeatures) -> None:
        """See `LengthPredictor`."""
        assert self._listener is not None
        low, high = self._intervals[digest_of(features.prompt)]
        known = LengthDistribution.from_samples(np.linspace(low, high, ATOMS))
        prediction = Prediction(distribution=known, source="history", neighbours=ATOMS, seconds=0.0)
        asyncio.get_running_loop().call_soon(self._listener.predicted, request_id, prediction)

    def observe(self, request_id: str, features: PromptFeatures, outcome: Outcome) -> None:
        """See `LengthPredictor`."""

    def state(self) -> PredictorState:
        """See `LengthPredictor`."""
        return PredictorState(mode="HistoryOnly", state="ready")

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""


def main() -> int:
    config_file, intervals_file = map(Path, sys.argv[1:3])
    predictor = ToldPredictor(json.loads(intervals_file.read_text()))
    gateway.predictor_of = lambda _: predictor  # type: ignore[assignment,attr-defined,return-value]
    return asyncio.run(serve(load_config(config_file)))


if __name__ == "__main__":
    sys.exit(main())
