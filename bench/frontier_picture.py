"""The picture of the frontier: what the mean costs the tail, over the tail weight, others beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sagesched_emulator.demo.picture import LOOKS, OTHER_LOOK

SIZE_INCHES = (8.4, 5.2)


@dataclass(frozen=True, slots=True)
class Point:
    """One policy: ratios to first come, first served, mean over seeds.

    Attributes:
        label: written beside it.
        mean: of time to last token.
        p99: of the same.
        is_named_left: where the name has no room on the right.
    """

    label: str
    mean: float
    p99: float
    is_named_left: bool = False


def draw_frontier(path: Path, curve: Sequence[Point], others: Sequence[Point], subtitle: str) -> None:
    """Write an SVG, the same bytes for the same figures.

    Args:
        path: the file; its folder must exist.
        curve: `gittins-boost` by rising tail weight.
        others: beside it, by name of policy.
        subtitle: what was run, one line.
    """
    settings = {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "frontier",
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        _draw_curve(axes, curve)
        for point in others:
            colour = LOOKS.get(point.label, OTHER_LOOK)[0]
            axes.plot(point.mean, point.p99, "o", color=colour, markersize=6)
            _name(axes, point, colour)
        axes.axhline(1, color="#dddddd", linewidth=0.8, zorder=0)
        axes.set_xlim(0.2, 1.1)
        axes.set_xlabel("mean time to last token, first come first served = 1")
        axes.set_ylabel("99th percentile, the same")
        axes.set_title(subtitle, fontsize=9, color="#444444")
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def _draw_curve(axes: Axes, curve: Sequence[Point]) -> None:
    colour = LOOKS["gittins-boost"][0]
    axes.plot([p.mean for p in curve], [p.p99 for p in curve], "-o", color=colour, linewidth=2)
    for point in curve:
        _name(axes, point, colour, weight="bold")


def _name(axes: Axes, point: Point, colour: str, weight: str = "normal") -> None:
    axes.annotate(
        point.label,
        (point.mean, point.p99),
        (-7, -13) if point.is_named_left else (7, 4),
        textcoords="offset points",
        ha="right" if point.is_named_left else "left",
        size=9,
        color=colour,
        weight=weight,
    )
