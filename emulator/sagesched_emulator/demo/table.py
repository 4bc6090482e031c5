"""The table that a demo prints. PURE."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sagesched_emulator.demo.trial import Trial
from sagesched_emulator.figures import ratio

HEADINGS = (
    f"{'':<15}{'time to last token (s)':^30}  {'time to first token (s)':^30}  "
    f"{'waiting':>8}{'engine':>8}   {'to direct':^14}\n"
    f"{'':<15}{'mean':>7}{'p50':>7}{'p95':>8}{'p99':>8}  {'mean':>7}{'p50':>7}{'p95':>8}{'p99':>8}  "
    f"{'mean':>8}{'busy':>8}   {'mean':>7}{'p99':>7}"
)


def table(trials: Sequence[Trial]) -> str:
    """One line per run; ratios of TTLT refer to the first."""
    rule = "-" * max(len(line) for line in HEADINGS.splitlines())
    lines = [HEADINGS, rule, *(_line(trial, trials[0]) for trial in trials)]
    return "\n".join(lines + _failures(trials))


def _line(trial: Trial, base: Trial) -> str:
    f, b = trial.figures, base.figures
    busy = "-" if trial.engine is None else f"{trial.engine.busy:.0%}"
    return (
        f"{trial.name:<15}"
        f"{_seconds(f.mean_ttlt_s, 7)}{_seconds(f.p50_ttlt_s, 7)}{_seconds(f.p95_ttlt_s, 8)}"
        f"{_seconds(f.p99_ttlt_s, 8)}  "
        f"{_seconds(f.mean_ttft_s, 7)}{_seconds(f.p50_ttft_s, 7)}{_seconds(f.p95_ttft_s, 8)}"
        f"{_seconds(f.p99_ttft_s, 8)}  "
        f"{_seconds(math.nan if trial.mean_queue is None else trial.mean_queue, 8)}{busy:>8}   "
        f"{_times(ratio(f.mean_ttlt_s, b.mean_ttlt_s))}{_times(ratio(f.p99_ttlt_s, b.p99_ttlt_s))}"
    )


def _failures(trials: Sequence[Trial]) -> list[str]:
    """What the figures leave out, said below them."""
    lines = []
    for trial in trials:
        if trial.figures.failed:
            first = next(timing.error for timing in trial.load.timings if timing.error)
            lines.append(f"{trial.name}: {trial.figures.failed} requests failed, the first with: {first}")
    return lines


def _seconds(value: float, width: int) -> str:
    if math.isnan(value):
        return f"{'-':>{width}}"
    return f"{value:>{width}.{1 if value >= 10 else 2}f}"


def _times(value: float) -> str:
    return f"{'-':>7}" if math.isnan(value) else f"{value:>6.2f}x"
