"""The picture that makes the point at a glance: how long answers take, on average and at the tail.

Left: mean and 99th percentile of each run on one axis from zero, the mean's ratio to the first run beside it.
Right: the share of requests answered within a time, on a logarithmic axis since answers take from one second
to minutes. Colours are those of Okabe and Ito, for colour-blind readers; lines differ in their dashes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sagesched_emulator.demo.trial import Trial
from sagesched_emulator.figures import ratio

LOOKS: dict[str, tuple[str, str]] = {
    "direct": ("#000000", "-"),
    "fcfs": ("#999999", ":"),
    "ssjf": ("#56B4E9", "-."),
    "sagesched": ("#D55E00", "--"),
    "gittins-boost": ("#009E73", "-"),
}
"""Colour and dashes by run, the same in every picture."""

OTHER_LOOK = ("#CC79A7", ":")
SIZE_INCHES = (12.5, 5.2)
DOTS_PER_INCH = 150


def draw(path: Path, trials: Sequence[Trial], title: str, subtitle: str) -> None:
    """Write a PNG.

    Args:
        path: the file; its folder must exist.
        trials: the runs; ratios refer to the first. Runs without a complete answer are left out.
        title: one line.
        subtitle: one line, smaller: what was sent to what.
    """
    trials = [trial for trial in trials if trial.figures.completed]
    with mpl.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        means, share = figure.subplots(1, 2, width_ratios=[1, 1.05])
        _draw_means(means, trials)
        _draw_share(share, trials)
        figure.suptitle(f"{title}\n", fontsize=14, weight="bold")  # second line: room for the subtitle
        figure.text(0.5, 0.93, subtitle, ha="center", va="top", fontsize=10, color="#444444")
        figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_means(axes: Axes, trials: Sequence[Trial]) -> None:
    rows = np.arange(len(trials))[::-1]
    means = [trial.figures.mean_ttlt_s for trial in trials]
    tails = [trial.figures.p99_ttlt_s for trial in trials]
    axes.barh(rows, means, height=0.62, color=[LOOKS.get(t.name, OTHER_LOOK)[0] for t in trials])
    axes.hlines(rows, means, tails, color="#666666", linewidth=1)
    axes.plot(tails, rows, "|", color="#333333", markersize=16, markeredgewidth=2)
    for row, trial in zip(rows, trials, strict=True):
        mean, tail = trial.figures.mean_ttlt_s, trial.figures.p99_ttlt_s
        times = f"  {ratio(mean, means[0]):.2f}x" if trial is not trials[0] else ""
        axes.annotate(
            f"{_seconds(mean)}{times}",
            (mean, row),
            (6, 7),
            textcoords="offset points",
            weight="bold",
            va="bottom",
        )
        axes.annotate(
            f"p99 {_seconds(tail)}", (tail, row), (5, 0), textcoords="offset points", va="center", size=9
        )
    axes.set_yticks(rows, [trial.name for trial in trials])
    axes.set_xlim(0, max(tails) * 1.2)
    axes.set_ylim(-0.6, len(trials) - 0.2)
    axes.set_xlabel("time to last token, seconds: mean (bar) to 99th percentile (mark)")


def _draw_share(axes: Axes, trials: Sequence[Trial]) -> None:
    for trial in trials:
        seconds = np.sort([timing.ttlt_s / trial.time_scale for timing in trial.load.completed])
        colour, dashes = LOOKS.get(trial.name, OTHER_LOOK)
        share = np.arange(1, seconds.size + 1) / seconds.size
        axes.step(
            seconds,
            share,
            where="post",
            label=trial.name,
            color=colour,
            linestyle=dashes,
            linewidth=2,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(0, 1.01)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(which="major", color="#dddddd", linewidth=0.8)
    axes.set_xlabel("time to last token, seconds (logarithmic)")
    axes.set_ylabel("requests answered within that time")
    axes.legend(loc="upper left", frameon=False)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"
