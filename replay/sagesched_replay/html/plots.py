"""The plots of a report, each with a sentence on how to read it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from sagesched_replay.html.chart import Chart, colour
from sagesched_replay.html.overtaking import CLASSES, length_classes, overtakes
from sagesched_replay.html.scales import short, span_of
from sagesched_replay.study import Outcome, Requests

POINTS = 400
MOST_MATRICES = 6
UNANSWERED = "<p>No request has an answer.</p>"


def legend(names: Sequence[str]) -> str:
    """Names beside their colours."""
    items = "".join(
        f'<span><svg class="swatch" viewBox="0 0 24 8"><line class="line {colour(place)}" x1="1" x2="23" '
        f'y1="4" y2="4"/></svg>{escape(name)}</span>'
        for place, name in enumerate(names)
    )
    return f'<p class="legend">{items}</p>'


def frontier(names: Sequence[str], outcomes: Sequence[Outcome], sweep: Sequence[Outcome]) -> str:
    """Mean against p99; the sweep is one policy over its tail weight."""
    everything = [one.figures for one in (*outcomes, *sweep) if one.figures.completed]
    if not everything:
        return UNANSWERED
    chart = Chart(
        span_of([one.mean_ttlt_s for one in everything], margin=0.12),
        span_of([one.p99_ttlt_s for one in everything], margin=0.12),
        x_title="mean time to last token, s",
        y_title="99th percentile, s",
    )
    for place, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
        if not outcome.figures.completed:
            continue
        mean, p99 = outcome.figures.mean_ttlt_s, outcome.figures.p99_ttlt_s
        chart.point(mean, p99, colour(place), name, f"{name}: {_told(mean, p99)}")
    sweep = [one for one in sweep if one.figures.completed]
    if sweep:
        points = [(one.figures.mean_ttlt_s, one.figures.p99_ttlt_s) for one in sweep]
        chart.line(points, "sweep", "gittins-boost over its tail weight c")
        for one, (mean, p99) in zip(sweep, points, strict=True):
            weight = f"c={one.variant.tail_weight:g}"
            chart.point(mean, p99, "sweep", weight, f"gittins-boost {weight}: {_told(mean, p99)}", small=True)
    return chart.svg("Mean time to last token against its 99th percentile, a point per policy")


def distribution(names: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """Share of requests that take longer than so long."""
    columns = [np.sort(one.requests.ttlt[np.isfinite(one.requests.ttlt)]) for one in outcomes]
    shown = [place for place, column in enumerate(columns) if column.size]
    if not shown:
        return UNANSWERED
    names, columns = [names[place] for place in shown], [columns[place] for place in shown]
    least = 1 / max(column.size for column in columns)
    chart = Chart(
        (
            max(min(np.quantile(column, 0.01) for column in columns), 1e-3),
            max(column[-1] for column in columns) * 1.05,
        ),
        (least, 1.0),
        x_title="time to last token, s (logarithmic)",
        y_title="share of requests that take longer",
        x_log=True,
        y_log=True,
        y_text=lambda share: f"{share * 100:g} %",
    )
    for place, name, column in zip(shown, names, columns, strict=True):
        ranks = np.unique(
            np.concatenate(
                [
                    np.linspace(0, column.size - 1, POINTS // 2),
                    column.size - np.geomspace(1, column.size, POINTS // 2),
                ]
            ).astype(int)
        )
        points = [(float(column[rank]), 1 - rank / column.size) for rank in ranks]
        chart.line(points, colour(place), name)
    return chart.svg("Distribution of time to last token, a line per policy")


def queue(names: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """Requests that wait for their start, over time."""
    curves = [_waiting(one.requests) for one in outcomes]
    end = max(curve[-1][0] for curve in curves)
    chart = Chart(
        (0.0, end),
        (0.0, max(max(count for _, count in curve) for curve in curves) * 1.05 or 1.0),
        x_title="seconds after the first arrival",
        y_title="requests that wait",
    )
    for place, (name, curve) in enumerate(zip(names, curves, strict=True)):
        chart.line(curve, colour(place), name)
    return chart.svg("Requests that wait over time, a line per policy")


def matrices(names: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """A table per policy: how often a request of one length was overtaken by those of another."""
    counted = [(name, overtakes(one.requests)) for name, one in zip(names, outcomes, strict=True)]
    shown = [(name, matrix) for name, matrix in counted if matrix.max() > 0][:MOST_MATRICES]
    none = [name for name, matrix in counted if matrix.max() == 0]
    most = max((float(matrix.max()) for _, matrix in shown), default=1.0)
    tables = "".join(_matrix(name, matrix, most) for name, matrix in shown)
    quiet = f"<p>Nobody was overtaken under {escape(', '.join(none))}.</p>" if none else ""
    return f'<div class="matrices">{tables}</div>{quiet}'


def by_length(names: Sequence[str], outcomes: Sequence[Outcome], base: int) -> str:
    """Mean TTLT of each class of lengths, and its ratio to the base policy."""
    means = [_class_means(one.requests) for one in outcomes]
    heads = "".join(f"<th>{name}</th>" for name in CLASSES)
    lines = []
    for name, row in zip(names, means, strict=True):
        cells = "".join(
            f"<td>{short(value)} s <small>{ratio_of(value, other)}</small></td>"
            for value, other in zip(row, means[base], strict=True)
        )
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def ratio_of(value: float, base: float) -> str:
    """A ratio as text."""
    return f"&times;{value / base:.2f}" if base and math.isfinite(value / base) else ""


def _class_means(requests: Requests) -> list[float]:
    classes, ttlt = length_classes(requests), requests.ttlt
    return [
        float(np.mean(ttlt[(classes == place) & np.isfinite(ttlt)]))
        if ((classes == place) & np.isfinite(ttlt)).any()
        else math.nan
        for place in range(len(CLASSES))
    ]


def _waiting(requests: Requests) -> list[tuple[float, float]]:
    """At the most crowded instant of each of `POINTS` stretches of time."""
    started = np.isfinite(requests.start)
    arrival, start = requests.arrival[started], requests.start[started]
    if not arrival.size:
        return [(0.0, 0.0), (1.0, 0.0)]
    at = np.concatenate([arrival, start])
    change = np.concatenate([np.ones_like(arrival), -np.ones_like(start)])
    order = np.lexsort((-change, at))
    times, counts = at[order] - arrival.min(), np.cumsum(change[order])
    edges = np.linspace(0.0, float(times[-1]) or 1.0, POINTS + 1)
    places = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, POINTS - 1)
    crowd = np.full(POINTS, -1.0)
    np.maximum.at(crowd, places, counts)
    last = 0.0
    curve = []
    for place in range(POINTS):
        inside = np.flatnonzero(places == place) if crowd[place] >= 0 else None
        crowd_here = last if inside is None else max(float(crowd[place]), 0.0)
        last = last if inside is None else float(counts[inside[-1]])
        curve.append((float(edges[place]), crowd_here))
    return [*curve, (float(edges[-1]), last)]


def _matrix(name: str, matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]], most: float) -> str:
    heads = "".join(f"<th>{label}</th>" for label in CLASSES)
    lines = []
    for label, row in zip(CLASSES, matrix, strict=True):
        cells = "".join(
            f'<td style="--heat:{float(value) / most:.3f}">{short(round(float(value), 1))}</td>'
            for value in row
        )
        lines.append(f"<tr><th>{label}</th>{cells}</tr>")
    return (
        f'<table class="matrix"><caption>{escape(name)}</caption>'
        f"<thead><tr><th>overtaken &darr; by &rarr;</th>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _told(mean: float, p99: float) -> str:
    return f"mean {mean:.2f} s, p99 {p99:.2f} s"
