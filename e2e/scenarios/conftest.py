"""A cluster with our images and the operator, and the table of scenarios at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bed.installation import ensure_installed
from bed.pool import MakePool, a_pool
from bed.provider import is_users_own, ready_cluster
from bed.record import Record
from cluster.addon_families import ADDON_FAMILIES
from cluster.kubectl import Cluster
from cluster.tools import ensure_tools

_RECORD = pytest.StashKey[Record]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--levels", default="", help="run scenarios of these levels only, as in 1,2")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    levels = set(filter(None, config.getoption("--levels").split(",")))
    if levels:
        items[:] = [item for item in items if _level(item) in levels]
    if is_users_own():
        left_out = [item for item in items if item.get_closest_marker("own_node")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _level(item: pytest.Item) -> str:
    marker = item.get_closest_marker("level")
    return str(marker.args[0]) if marker else ""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "level(number): 1 in every CI run, 2 in `make e2e`, 3 by name only")
    config.addinivalue_line("markers", "needs(*families): programs of others, built beforehand")
    config.addinivalue_line(
        "markers", "own_node: needs the bed's own node: its processes, its images, or leave to take all away"
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what scenarios need of others: minutes, which count against no scenario's time."""
    if not session.config.option.collectonly:
        needed = {
            family for item in session.items for mark in item.iter_markers("needs") for family in mark.args
        }
        ensure_tools(families=[family for family in ADDON_FAMILIES if family.name in needed])


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with ready_cluster() as ready:
        yield ready


@pytest.fixture
def installed(cluster: Cluster) -> Cluster:
    ensure_installed(cluster)
    return cluster


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    record = Record()
    request.node.stash[_RECORD] = record
    return record


@pytest.fixture
def make_pool(installed: Cluster, request: pytest.FixtureRequest) -> MakePool:
    """A settled pool, in a namespace named for the scenario."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:50].strip("-")
    return lambda spec: a_pool(installed, f"{name}-{int(time.time()) % 10000}", spec)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    report.scenario = (  # type: ignore[attr-defined]
        item.path.stem.removeprefix("test_"),
        _level(item),
        item.stash.get(_RECORD, Record()).lines,
    )
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows: dict[str, tuple[str, str, float, list[str]]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            name, level, lines = report.scenario
            if report.when == "call" or outcome != "passed":
                rows[name] = (level, outcome, report.duration, lines)
    if not rows:
        return
    terminalreporter.section("scenarios")
    for name, (level, outcome, duration, lines) in rows.items():
        terminalreporter.write_line(f"{name:<32} level {level}  {outcome:<6} {duration:6.1f} s")
        for line in lines:
            terminalreporter.write_line(f"    {line}")
