"""Axes: where a value lies, and which ticks are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis.

    Attributes:
        low: value at its beginning.
        high: value at its end.
        begin: pixel of `low`.
        end: pixel of `high`.
        is_log: whether equal ratios are equally far apart.
    """

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Pixel of a value, kept on the axis."""
        low, high, value = self._seen(self.low), self._seen(self.high), self._seen(max(value, 1e-12))
        share = 0.0 if high == low else (value - low) / (high - low)
        return self.begin + (self.end - self.begin) * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Round values on the axis."""
        return _log_ticks(self.low, self.high) if self.is_log else _linear_ticks(self.low, self.high)

    def _seen(self, value: float) -> float:
        return math.log(max(value, 1e-12)) if self.is_log else value


def span_of(values: Sequence[float], *, from_zero: bool = False, margin: float = 0.08) -> tuple[float, float]:
    """Least and most of some values with a margin."""
    low, high = min(values), max(values)
    pad = margin * ((high - low) or abs(high) or 1.0)
    return (0.0 if from_zero else max(low - pad, 0.0)), high + pad


def short(value: float) -> str:
    """A tick as text."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _linear_ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10(max(high - low, 1e-9) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 1500 else (1,)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
