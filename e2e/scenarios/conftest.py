"""A cluster with our images and the operator, and the table of scenarios at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from bed.installation import ensure_installed
from bed.pool import MakePool, a_pool
from bed.provider import place, ready_cluster
from bed.record import Record
from bed.results import Result, Results, counts
from bed.table import table
from cluster.addon_families import ADDON_FAMILIES
from cluster.kubectl import Cluster
from cluster.tools import ensure_tools

_RECORD = pytest.StashKey[Record]()
_REPORTS = pytest.StashKey[list[pytest.TestReport]]()
_RESULTS = pytest.StashKey[Results]()
_ASKED_FOR = pytest.StashKey[list[tuple[str, str]]]()
"""(Level, scenario), whether or not they run now."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--levels", default="", help="run scenarios of these levels only, as in 1,2")
    parser.addoption("--rest", action="store_true", help="leave out what has passed on these very sources")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    levels = set(filter(None, config.getoption("--levels").split(",")))
    if levels:
        items[:] = [item for item in items if _level(item) in levels]
    if place():
        _leave_out(config, items, lambda item: item.get_closest_marker("own_node") is not None)
    config.stash[_ASKED_FOR] = sorted((_level(item), _name(item)) for item in items)
    if config.getoption("--rest"):
        _leave_out(config, items, lambda item: _has_passed(config.stash[_RESULTS].of(_name(item))))


def _leave_out(
    config: pytest.Config, items: list[pytest.Item], whether: Callable[[pytest.Item], bool]
) -> None:
    left_out = [item for item in items if whether(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _has_passed(result: Result | None) -> bool:
    return result is not None and result.passed


def _name(item: pytest.Item) -> str:
    return item.path.stem.removeprefix("test_")


def _level(item: pytest.Item) -> str:
    marker = item.get_closest_marker("level")
    return str(marker.args[0]) if marker else ""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = Results(place())
    config.addinivalue_line("markers", "level(number): 1 in every CI run, 2 in `make e2e` alone")
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
    item.stash.setdefault(_REPORTS, []).append(report)
    if report.when == "teardown":
        item.config.stash[_RESULTS].keep(_result(item))
    return report  # type: ignore[return-value]


def _result(item: pytest.Item) -> Result:
    reports = {each.when: each for each in item.stash[_REPORTS]}
    call, record = reports.get("call"), item.stash.get(_RECORD, Record())
    around = all(reports[when].passed for when in ("setup", "teardown"))
    return Result(
        scenario=_name(item),
        level=_level(item),
        outcome=call.outcome if call and around else "error",
        duration_s=call.duration if call else 0.0,
        lines=record.lines,
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        **counts(record.accounts),
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = config.stash[_RESULTS]
    asked_for = config.stash.get(_ASKED_FOR, [])
    if asked_for and not config.option.collectonly:
        terminalreporter.section(f"scenarios, with the product {results.product}")
        for line in table({(level, name): results.of(name) for level, name in asked_for}):
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Nothing left to run is no failure."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.getoption("--rest"):
        session.exitstatus = pytest.ExitCode.OK
