"""The report as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from sagesched_replay.html import plots
from sagesched_replay.paired import Ratio
from sagesched_replay.sheet import labels
from sagesched_replay.study import Outcome, Row

_COLUMNS = (
    ("mean", "mean_ttlt_s"),
    ("p50", "p50_ttlt_s"),
    ("p95", "p95_ttlt_s"),
    ("p99", "p99_ttlt_s"),
    ("TTFT", "mean_ttft_s"),
    ("TTFT p99", "p99_ttft_s"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a page is made of.

    Attributes:
        facts: trace, data, engine, seeds: name and value each.
        rows: the comparison.
        sweep: one policy over its tail weight, on the first trace; empty where it was not run.
    """

    facts: Sequence[tuple[str, str]]
    rows: Sequence[Row]
    sweep: Sequence[Outcome]


def page(report: Report) -> str:
    """One HTML document, nothing outside of it."""
    rows = report.rows
    names = labels([row.variant for row in rows])
    first = [row.outcomes[0] for row in rows]
    base = next(place for place, row in enumerate(rows) if row.is_base)
    several = len(rows[0].outcomes) > 1
    of_first = f" Of seed {first[0].seed}, the first of {len(rows[0].outcomes)}." if several else ""
    style = files("sagesched_replay.html").joinpath("style.css").read_text(encoding="utf-8")
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts)
    sections = [
        _section("Figures", _FIGURES, f'<div class="wide">{_table(names, rows)}</div>{_noise(rows)}'),
        _section("Mean against tail", _FRONTIER + of_first, plots.frontier(names, first, report.sweep)),
        _section(
            "Time to last token",
            _DISTRIBUTION + of_first,
            plots.legend(names) + plots.distribution(names, first),
        ),
        _section("Queue over time", _QUEUE + of_first, plots.legend(names) + plots.queue(names, first)),
        _section(
            "Who gains, who pays",
            _BY_LENGTH.format(base=names[base]) + of_first,
            f'<div class="wide">{plots.by_length(names, first, base)}</div>',
        ),
        _section("Who was overtaken by whom", _OVERTAKEN + of_first, plots.matrices(names, first)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Replay: {escape(', '.join(names))}</title><style>{style}</style></head><body><main>"
        f'<h1>What would have happened</h1><p class="how">{_INTRODUCTION}</p>'
        f'<dl class="facts">{facts}</dl>{"".join(sections)}</main></body></html>\n'
    )


def _section(title: str, how: str, body: str) -> str:
    return f'<section><h2>{title}</h2><p class="how">{how}</p>{body}</section>'


def _table(names: Sequence[str], rows: Sequence[Row]) -> str:
    base = next(name for name, row in zip(names, rows, strict=True) if row.is_base)
    heads = "".join(f"<th>{title}</th>" for title, _ in _COLUMNS)
    any_failed = any(row.figure("failed") for row in rows)
    failed = "<th>failed</th>" if any_failed else ""
    lines = []
    for name, row in zip(names, rows, strict=True):
        cells = "".join(f"<td>{row.figure(field):.2f}</td>" for _, field in _COLUMNS)
        cells += f"<td>{row.figure('utilisation'):.0%}</td>"
        if any_failed:
            cells += f"<td>{round(row.figure('failed'))}</td>"
        cells += _ratio_cell(row.mean, row.is_base) + _ratio_cell(row.p99, row.is_base)
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return (
        f"<table><thead><tr><th></th>{heads}<th>busy</th>{failed}"
        f"<th>mean / {escape(base)}</th><th>p99 / {escape(base)}</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _ratio_cell(ratio: Ratio, is_base: bool) -> str:
    if is_base:
        return "<td>1</td>"
    if math.isnan(ratio.low):
        return f"<td>{ratio.value:.2f}</td>"
    noise = ' class="noise" title="within noise"' if ratio.within_noise else ""
    mark = " ~" if ratio.within_noise else ""
    return f"<td{noise}>{ratio.value:.2f} <small>[{ratio.low:.2f} {ratio.high:.2f}]</small>{mark}</td>"


def _noise(rows: Sequence[Row]) -> str:
    if any(ratio.within_noise for row in rows if not row.is_base for ratio in (row.mean, row.p99)):
        return '<p class="how">~ within noise: no difference shown.</p>'
    return ""


_INTRODUCTION = (
    "The same requests, at the same instants, through the gateway's own scheduler and a model of the engine, "
    "once per policy. Nothing else differs."
)
_FIGURES = (
    "Seconds. TTLT is arrival to last token; TTFT, arrival to first token. In brackets, the 95&nbsp;% "
    "interval of the ratio, paired: over seeds where there are several, else over blocks of this trace."
)
_FRONTIER = (
    "Left is better for most requests, down is better for the slowest one in a hundred. The dashed line is "
    "what gittins-boost offers as its tail weight c grows."
)
_DISTRIBUTION = (
    "How many requests take longer than so many seconds. The 1&nbsp;% line crosses each curve at its p99."
)
_QUEUE = "Requests that have arrived and not been sent to an engine."
_BY_LENGTH = (
    "Mean TTLT of each quarter of the requests, by length of their answers, and what it is times {base}."
)
_OVERTAKEN = (
    "How many requests that came later started before it, for a mean request: the length of its own answer "
    "in the row, of theirs in the column, a quarter of all requests each."
)
