"""Figures of a run: what a table, a picture and a comparison are made of. PURE.

Times are ENGINE seconds: a run on a slowed or hastened engine is divided by its time scale, so that runs of
one trace compare with each other and with replay. TTFT is arrival to first token, TTLT arrival to last token.
Percentiles are numpy's linear interpolation between order statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sagesched_emulator.load_result import RequestTiming


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Latencies over the complete answers of one run, engine seconds (nan where no answer is complete).

    Attributes:
        sent: requests sent.
        completed: complete answers; only these count below.
        failed: requests without a complete answer.
        mean_ttlt_s: mean time to last token.
        p50_ttlt_s: its median.
        p95_ttlt_s: its 95th percentile.
        p99_ttlt_s: its 99th percentile.
        mean_ttft_s: mean time to first token.
        p50_ttft_s: its median.
        p95_ttft_s: its 95th percentile.
        p99_ttft_s: its 99th percentile.
    """

    sent: int
    completed: int
    failed: int
    mean_ttlt_s: float
    p50_ttlt_s: float
    p95_ttlt_s: float
    p99_ttlt_s: float
    mean_ttft_s: float
    p50_ttft_s: float
    p95_ttft_s: float
    p99_ttft_s: float


def figures(timings: Sequence[RequestTiming], time_scale: float) -> Figures:
    """Figures of the timings of one run; `time_scale` is wall seconds per engine second, > 0."""
    completed = [timing for timing in timings if timing.error is None]
    ttlt = _spread([timing.ttlt_s / time_scale for timing in completed])
    ttft = _spread([timing.ttft_s / time_scale for timing in completed])
    return Figures(
        sent=sum(timing.sent_at is not None for timing in timings),
        completed=len(completed),
        failed=len(timings) - len(completed),
        mean_ttlt_s=ttlt[0],
        p50_ttlt_s=ttlt[1],
        p95_ttlt_s=ttlt[2],
        p99_ttlt_s=ttlt[3],
        mean_ttft_s=ttft[0],
        p50_ttft_s=ttft[1],
        p95_ttft_s=ttft[2],
        p99_ttft_s=ttft[3],
    )


def ratio(value: float, base: float) -> float:
    """`value / base`; nan where the base is zero or either is nan."""
    return value / base if base else float("nan")


def _spread(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean, median, 95th and 99th percentile."""
    if not values:
        return (float("nan"),) * 4
    p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99])
    return float(np.mean(values)), float(p50), float(p95), float(p99)
