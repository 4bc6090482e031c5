"""`Questions`: what the predictor is asked, and who hears its answers.

Each request is asked about once, whatever becomes of it meanwhile. An answer goes to the core as far as it is
trusted, also one about what runs already: how long that will still run is asked about, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from sagesched_gateway.dispatch.live_request import LiveRequest
from sagesched_gateway.dispatch.loop import SchedulingLoop
from sagesched_gateway.dispatch.ports import LengthPredictor, Prediction, Telemetry
from sagesched_gateway.dispatch.trust_watch import TrustWatch
from sagesched_gateway.scheduling.events import PoolDistributionChanged, Predicted
from sagesched_predictor.distribution import LengthDistribution


class Questions:
    """Of one dispatcher; the predictor's listener, see `ports.PredictionListener`."""

    def __init__(
        self,
        *,
        predictor: LengthPredictor,
        core: SchedulingLoop,
        trust: TrustWatch,
        telemetry: Telemetry,
        counters: Counter[str],
        find: Callable[[str], LiveRequest | None],
    ) -> None:
        """Listen to the predictor from now on.

        Args:
            predictor: is asked.
            core: hears the answers.
            trust: says how far they are believed.
            telemetry: the metrics.
            counters: totals by name.
            find: the request of that id; None where it is over.
        """
        self._predictor = predictor
        self._core = core
        self._trust = trust
        self._telemetry = telemetry
        self._counters = counters
        self._find = find
        predictor.listen(self)

    def ask(self, live: LiveRequest) -> None:
        """Ask once; also about what runs already, so that every outcome has a prediction."""
        if live.features is not None and live.features.prompt and not live.is_predicted:
            live.is_predicted = True
            self._predictor.predict(live.job_id, live.features)

    def predicted(self, request_id: str, prediction: Prediction) -> None:
        """Tell the core what is used of it."""
        self._counters["predictions"] += 1
        self._telemetry.prediction_done(prediction.source, prediction.seconds)
        live = self._find(request_id)
        if live is not None:
            used = live.generation.predicted = self._trust.predicted(live, prediction.distribution)
            self._core.post(Predicted(job_id=request_id, distribution=used))

    def pool_changed(self, distribution: LengthDistribution) -> None:
        """Tell the core."""
        self._core.post(PoolDistributionChanged(distribution=distribution))

    def prediction_failed(self, request_id: str, reason: str) -> None:
        """Count it; the request keeps the pool's distribution, and is judged by it."""
        self._counters["prediction_failures"] += 1
        self._telemetry.prediction_failed(reason)
        if self._find(request_id) is not None:
            self._core.post(Predicted(job_id=request_id, distribution=None))
