"""Whether predicted intervals hold what they promise, and what to multiply by where they do not. PURE.

Answers are looked at by the order in which their requests reached the engine, and those that still run count
as at least so long as they are by now (`survival.py`). Answers that have ended alone would be the short ones
whenever something changes, which is exactly when it matters.

- Every answer's place in its predicted distribution, u = F(length), would be uniform. Coverage of the 50, 80
  and 90 % intervals and the mean of u are estimated over the last `window` requests; calibration is lost
  where one of them is off by more than the tolerance and what chance allows.
- Then predictions are rescaled on the logarithmic scale: shifted by the median of ln(length / predicted
  median) over the last `RESCALE_WINDOW` requests, and stretched so that 80 % intervals hold 80 % of them (the
  conformity score of conformalized quantile regression, Romano et al., 2019, on ratios).
- Predictions as they come are judged, not the rescaled ones: the predictor learns from the same answers, and
  the rescaling ends when it has caught up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.rescale import UNCHANGED, Rescale
from sagesched_predictor.survival import product_limit, quantiles

FloatArray = npt.NDArray[np.float64]

INTERVALS = (0.5, 0.8, 0.9)
WINDOW = 200
RESCALE_WINDOW = 64
# Fewer answers that have ended tell nothing yet.
MIN_ENDED = 50
MIN_ENDED_FOR_RESCALE = 24
ASSESS_EVERY = 8
# Chance allows this many standard errors; assessed thousands of times a day, it must be many.
CHANCE = 4.0
# Back in tolerance this share of it must be left, so that the verdict does not flutter.
HYSTERESIS = 0.8
LARGEST_SHIFT = float(np.log(16))
STRETCHES = (0.4, 3.0)
NARROWEST = 0.05
_RAW, _USED = 0, 1
_BEYOND = 20


@dataclass(slots=True)
class _Entry:
    """A request that reached the engine.

    Attributes:
        raw: as predicted.
        used: as rescaled.
        tokens: its length so far, or at its end.
        has_ended: nothing of this changes any more.
        censored: it is not known to have ended by itself.
        places: of its length in `raw` and in `used`, in [0, 1].
        middle: ln of the predicted median.
        up: from there to the 90 % quantile, in ln tokens.
        down: from the 10 % quantile to the median.
    """

    raw: LengthDistribution
    used: LengthDistribution
    tokens: int = 0
    has_ended: bool = False
    censored: bool = True
    places: tuple[float, float] = (0.0, 0.0)
    middle: float = field(init=False)
    up: float = field(init=False)
    down: float = field(init=False)
    _steps: tuple[tuple[LengthDistribution, FloatArray], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._steps = tuple(
            (one, np.concatenate([[0.0], np.cumsum(one.weights)])) for one in (self.raw, self.used)
        )
        low, self.middle, high = (float(np.log(self.raw.quantile(q))) for q in (0.1, 0.5, 0.9))
        self.up, self.down = max(high - self.middle, NARROWEST), max(self.middle - low, NARROWEST)

    def note(self, tokens: int) -> None:
        """Its length is, or has come to, `tokens`."""
        self.tokens = tokens
        self.places = (self._place(_RAW), self._place(_USED))

    def _place(self, which: int) -> float:
        """F(length): the middle of the step that it falls on; for a least length, all that is below it."""
        distribution, below = self._steps[which]
        first = int(distribution.tokens.searchsorted(self.tokens))
        if self.censored or first == distribution.tokens.size or distribution.tokens[first] != self.tokens:
            return float(below[first])
        return float(below[first] + below[first + 1]) / 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of the predictions' calibration.

    Attributes:
        calibrated: the predictor's own predictions are in tolerance, or too few have ended to tell.
        reason: why they are not, in words; empty where they are.
        coverage: of the predictions as used, share by interval; empty while too few have ended.
        rescale: what predictions go through.
        answers: how many answers this rests on.
    """

    calibrated: bool = True
    reason: str = ""
    coverage: dict[float, float] = field(default_factory=dict)
    rescale: Rescale = UNCHANGED
    answers: int = 0


class Calibration:
    """Judges one model's predictions.

    Attributes:
        verdict: as last assessed.
    """

    def __init__(self, tolerance: float = 0.05, window: int = WINDOW) -> None:
        """Start with trust.

        Args:
            tolerance: how far coverage may be off, as a share of all answers.
            window: requests that are looked at.
        """
        self._tolerance = tolerance
        self._window = window
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._since_assessed = 0
        self.verdict = Verdict()

    def started(self, request_id: str, raw: LengthDistribution, used: LengthDistribution) -> None:
        """A request with a prediction reached the engine.

        Args:
            request_id: unique.
            raw: as predicted.
            used: as rescaled.
        """
        self._entries[request_id] = _Entry(raw, used)
        while len(self._entries) > self._window:
            self._entries.popitem(last=False)

    def ended(self, request_id: str, tokens: int, *, censored: bool) -> bool:
        """A request ended.

        Args:
            request_id: unknown ones are ignored.
            tokens: what it had generated.
            censored: it was cut off there.

        Returns:
            Whether it is time to `assess`.
        """
        entry = self._entries.get(request_id)
        if entry is not None:
            entry.has_ended, entry.censored = True, censored
            entry.note(tokens)
        self._since_assessed += 1
        return self._since_assessed >= ASSESS_EVERY

    def assess(self, tokens_of: Callable[[str], int | None]) -> Verdict:
        """Judge anew.

        Args:
            tokens_of: what a running request has generated; None where it is unknown, and taken for gone.
        """
        self._since_assessed = 0
        for request_id, entry in list(self._entries.items()):
            if not entry.has_ended:
                tokens = tokens_of(request_id)
                if tokens is None:
                    del self._entries[request_id]
                else:
                    entry.note(tokens)
        entries = list(self._entries.values())
        num_whole = sum(entry.has_ended and not entry.censored for entry in entries)
        if num_whole >= MIN_ENDED:
            self.verdict = self._judged(entries, num_whole)
        return self.verdict

    def _judged(self, entries: list[_Entry], num_whole: int) -> Verdict:
        places, mass = _places(entries, _RAW)
        coverage, bias = _coverage(places, mass), float(places @ mass) - 0.5
        worst = self._worst(coverage, bias, num_whole)
        was_calibrated = self.verdict.calibrated
        calibrated = worst <= 1 if was_calibrated else worst <= HYSTERESIS
        rescale = UNCHANGED if calibrated else _fitted(entries, self.verdict.rescale)
        return Verdict(
            calibrated=calibrated,
            reason="" if calibrated else _words(coverage, bias, num_whole, rescale),
            coverage=_coverage(*_places(entries, _USED)),
            rescale=rescale,
            answers=num_whole,
        )

    def _worst(self, coverage: dict[float, float], bias: float, num_whole: int) -> float:
        """The largest deviation as a multiple of what is allowed."""
        root = num_whole**0.5
        chance = 0.0 if not self.verdict.calibrated else CHANCE
        deviations = [
            abs(share - interval) / (self._tolerance + chance * (interval * (1 - interval)) ** 0.5 / root)
            for interval, share in coverage.items()
        ]
        deviations.append(abs(bias) / (self._tolerance + chance * (1 / 12) ** 0.5 / root))
        return float(max(deviations))


def _places(entries: list[_Entry], which: int) -> tuple[FloatArray, FloatArray]:
    """Distribution of the answers' places in their predictions: places in [0, 1] and their mass."""
    places = np.array([entry.places[which] for entry in entries])
    censored = np.array([entry.censored for entry in entries])
    ordered, mass = product_limit(places, censored, np.ones(len(entries)))
    longest = ordered[-1]
    if not censored[places == longest].any():
        return ordered, mass
    # What is left on the longest cut lies somewhere beyond it: evenly, as it would if nothing were wrong.
    beyond = longest + (1 - longest) * (np.arange(_BEYOND) + 0.5) / _BEYOND
    return (
        np.concatenate([ordered[:-1], beyond]),
        np.concatenate([mass[:-1], np.full(_BEYOND, mass[-1] / _BEYOND)]),
    )


def _coverage(places: FloatArray, mass: FloatArray) -> dict[float, float]:
    return {interval: float(mass[np.abs(places - 0.5) <= interval / 2].sum()) for interval in INTERVALS}


def _fitted(entries: list[_Entry], before: Rescale) -> Rescale:
    """What would have made the last answers fit; `before` where too few of them have ended."""
    recent = entries[-RESCALE_WINDOW:]
    if sum(not entry.censored for entry in recent) < MIN_ENDED_FOR_RESCALE:
        return before
    ratios = np.array([np.log(max(entry.tokens, 1)) - entry.middle for entry in recent])
    censored = np.array([entry.censored for entry in recent])
    ones = np.ones(len(recent))
    shift = float(
        np.clip(quantiles(*product_limit(ratios, censored, ones), 0.5), -LARGEST_SHIFT, LARGEST_SHIFT)
    )
    off = ratios - shift
    scores = np.where(off >= 0, off / [entry.up for entry in recent], -off / [entry.down for entry in recent])
    # A running answer below the middle may yet end anywhere: nothing is known of its score.
    scores = np.where(censored & (off < 0), 0.0, scores)
    stretch = float(np.clip(quantiles(*product_limit(scores, censored, ones), 0.8), *STRETCHES))
    return Rescale(shift, stretch)


def _words(coverage: dict[float, float], bias: float, num_whole: int, rescale: Rescale) -> str:
    held = ", ".join(f"{100 * share:.0f} % in {100 * interval:.0f} %" for interval, share in coverage.items())
    side = "longer" if bias > 0 else "shorter"
    text = f"of the last {num_whole} answers {held} intervals; they tend to be {side} than predicted"
    if rescale.is_identity:
        return text
    return (
        f"{text}; predictions are multiplied by {rescale.factor:.2f} and their width by {rescale.stretch:.2f}"
    )
