"""`Trust`: whether the predictions of all models may be used as they are, rescaled, or not at all. PURE.

Two stages. A wrong scale is mended: predictions are rescaled and somebody is told (`calibration.py`). A wrong
order cannot be: then it is better not to follow it (`usefulness.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from sagesched_predictor.calibration import WINDOW, Calibration
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.rescale import UNCHANGED, Rescale
from sagesched_predictor.usefulness import Usefulness

# Callers name models, so their number must be bounded.
MAX_MODELS = 32
# The first answers to end are the short ones, and a predictor that has learned from these alone is not to be
# judged yet.
YOUNG_ANSWERS = 150


@dataclass(frozen=True, slots=True)
class TrustReport:
    """The worst over all models.

    Attributes:
        calibrated: all predictions are in tolerance as they come.
        useful: the order of each model is worth following.
        reason: what is wrong, the graver first; empty where nothing is.
        coverage: share of answers inside the predicted interval as used, by interval, of the model with most
            answers judged; empty while too few have ended.
        rescale: what that model's predictions go through.
        concordance: of its order, about Kendall's tau; None while too few have ended.
    """

    calibrated: bool = True
    useful: bool = True
    reason: str = ""
    coverage: dict[float, float] = field(default_factory=dict)
    rescale: Rescale = UNCHANGED
    concordance: float | None = None


class _Model:
    def __init__(self, tolerance: float, window: int) -> None:
        self.calibration = Calibration(tolerance, window)
        self.usefulness = Usefulness()
        self.num_ended = 0


class Trust:
    """Judges all models.

    Attributes:
        report: as last assessed.
    """

    def __init__(self, tolerance: float = 0.05, window: int = WINDOW) -> None:
        """Start with trust; arguments as in `Calibration`."""
        self._tolerance = tolerance
        self._window = window
        self._models: OrderedDict[str, _Model] = OrderedDict()
        self._running: dict[str, tuple[str, float]] = {}
        self.report = TrustReport()

    def adjusted(self, model: str, raw: LengthDistribution, max_tokens: float) -> LengthDistribution:
        """What to use for a prediction of this model."""
        known = self._models.get(model)
        return raw if known is None else known.calibration.verdict.rescale.apply(raw, max_tokens)

    def started(self, request_id: str, model: str, raw: LengthDistribution, used: LengthDistribution) -> None:
        """A request with a prediction reached the engine; see `Calibration.started`."""
        judged = self._of(model)
        if judged.num_ended >= YOUNG_ANSWERS:
            judged.calibration.started(request_id, raw, used)
        self._running[request_id] = (model, raw.mean)

    def ended(
        self, request_id: str, tokens: int, *, censored: bool, tokens_of: Callable[[str], int | None]
    ) -> bool:
        """A request ended.

        Args:
            request_id: unknown ones are ignored.
            tokens: what it had generated.
            censored: it was cut off there.
            tokens_of: what a running request has generated; None where it is unknown.

        Returns:
            Whether `report` was made anew.
        """
        model_name, predicted = self._running.pop(request_id, ("", 0.0))
        model = self._models.get(model_name)
        if model is None:
            return False
        model.num_ended += 1
        if model.num_ended > YOUNG_ANSWERS:
            model.usefulness.ended(predicted, tokens, censored=censored)
        if not model.calibration.ended(request_id, tokens, censored=censored):
            return False
        model.calibration.assess(tokens_of)
        self.report = self._reported()
        return True

    def forget(self, request_id: str) -> None:
        """A request is gone, and nobody knows how long its answer was."""
        self._running.pop(request_id, None)

    def _of(self, model: str) -> _Model:
        if model not in self._models:
            self._models[model] = _Model(self._tolerance, self._window)
            while len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(model)
        return self._models[model]

    def _reported(self) -> TrustReport:
        main = max(self._models.values(), key=lambda model: model.num_ended)
        reasons = [
            f"{name}: {reason}"
            for reasons in (
                [(name, model.usefulness.reason) for name, model in self._models.items()],
                [(name, model.calibration.verdict.reason) for name, model in self._models.items()],
            )
            for name, reason in reasons
            if reason
        ]
        return TrustReport(
            calibrated=all(model.calibration.verdict.calibrated for model in self._models.values()),
            useful=all(model.usefulness.useful for model in self._models.values()),
            reason="; ".join(reasons),
            coverage=main.calibration.verdict.coverage,
            rescale=main.calibration.verdict.rescale,
            concordance=main.usefulness.concordance,
        )
