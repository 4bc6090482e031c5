"""The report: one file, nothing fetched, everything that was asked for in it."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sagesched_replay.cli import main
from sagesched_replay.html.chart import Chart
from sagesched_replay.html.plots import distribution, frontier
from sagesched_replay.html.scales import Scale, short, span_of
from sagesched_replay.options import make_parser
from sagesched_replay.plan import make_plan
from sagesched_replay.progress import run_all


class _Seen(HTMLParser):
    """Tags and attributes, and whether each that opens closes."""

    VOID = frozenset({"meta", "line", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID or tag == "circle":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    command = (
        "run --requests 250 --rho 1.3 --distribution by-prompt-tokens --policy fcfs --policy gittins-boost "
        f"--policy wspt --seeds 2 --html {path}"
    )
    assert main(command.split()) == 0
    return path.read_text()


def test_nothing_is_fetched(report: str) -> None:
    seen = _Seen()
    seen.feed(report)
    assert seen.open == []
    fetching = {"src", "href", "xlink:href", "srcset", "data", "action"}
    assert [one for one in seen.attributes if one[1] in fetching] == []
    assert "url(" not in report
    assert "@import" not in report
    assert "<script" not in report
    assert "://" not in report


def test_it_names_data_seed_engine_and_shows_every_plot(report: str) -> None:
    for word in ("generated prompts", "kv-bound: 256 slots", "Seeds", "Mean against tail", "Queue over time"):
        assert word in report
    assert len(re.findall(r"0 \(trace [0-9a-f]{12}\), 1 \(trace [0-9a-f]{12}\)", report)) == 1
    plots = re.findall(r'<svg viewBox="0 0 860 380".*?</svg>', report, re.S)
    assert len(plots) == 3
    for plot in plots:
        ElementTree.fromstring(plot)
    assert all(f"c={weight}" in report for weight in ("0.25", "0.5", "2", "4"))
    assert report.count('class="matrix"') == 2
    assert "Nobody was overtaken under fcfs." in report


def test_who_has_no_answer_is_in_no_plot(tmp_path: Path) -> None:
    """With such a cap the engine never has memory for anybody."""
    data, path = tmp_path / "pairs.csv", tmp_path / "report.html"
    data.write_text("prompt_tokens,output_tokens\n10,5\n20,9\n")
    told = f"run --data {data} --distribution none --requests 40 --max-tokens 100000 --html {path}"
    assert main(f"{told} --policy fcfs --policy gittins-boost".split()) == 0
    assert path.read_text().count("No request has an answer.") == 2


def test_who_has_answers_is_shown_beside_who_has_none() -> None:
    command = "run --requests 20 --distribution none --policy fcfs --policy wspt"
    plan = make_plan(make_parser().parse_args(command.split()))
    first, second = run_all(plan, plan.variants)
    silent = replace(
        first,
        requests=replace(first.requests, last=np.full(20, np.nan)),
        figures=replace(first.figures, completed=0, mean_ttlt_s=np.nan, p99_ttlt_s=np.nan),
    )
    for draw in (partial(frontier, sweep=[silent]), distribution):
        plot = draw(["fcfs", "wspt"], [silent, second])
        assert re.findall(r'class="(?:dot|line) (s\d)"', plot) == ["s1"]
        assert "nan" not in plot


def test_names_are_never_markup() -> None:
    chart = Chart((0.0, 1.0), (0.0, 1.0), x_title="<x>", y_title="&")
    chart.point(0.5, 0.5, "s0", "<b>", '"<i>"')
    ElementTree.fromstring(chart.svg('say "<hi>"'))


def test_scales_place_and_round() -> None:
    assert Scale(0.0, 10.0, 0.0, 100.0)(5.0) == 50.0
    assert Scale(1.0, 100.0, 0.0, 100.0, is_log=True)(10.0) == pytest.approx(50.0)
    assert Scale(0.0, 10.0, 0.0, 100.0)(99.0) == 100.0
    assert Scale(0.0, 9.0, 0.0, 1.0).ticks() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert Scale(0.9, 1000.0, 0.0, 1.0, is_log=True).ticks()[:4] == pytest.approx([1.0, 2.0, 5.0, 10.0])
    assert [short(value) for value in (0, 0.123456, 12345.6)] == ["0", "0.123", "12,346"]
    assert span_of([2.0, 2.0])[0] < 2.0 < span_of([2.0, 2.0])[1]
