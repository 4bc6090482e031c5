"""Results are there as long as what they were got with is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bed import results
from bed.load import Account
from bed.results import Result, Results, counts
from bed.table import table

RESULT = Result(
    scenario="crash",
    level="2",
    outcome="passed",
    duration_s=12.34,
    lines=["back 3.1 s later"],
    complete=40,
    errors=2,
    wrong=0,
    at="2026-01-02 03:04",
)


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    for name in ("pyproject.toml", "constraints.txt", "gateway/a.py", "docs/a.md", "scenarios/test_crash.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    monkeypatch.setattr(results, "ROOT", root)
    monkeypatch.setattr(results, "SCENARIOS", root / "scenarios")
    return root


def test_the_latest_result_is_kept(tmp_path: Path) -> None:
    assert Results(cache=tmp_path).of("crash") is None
    Results(cache=tmp_path).keep(replace(RESULT, outcome="failed"))
    Results(cache=tmp_path).keep(RESULT)
    assert Results(cache=tmp_path).of("crash") == RESULT
    assert Results("kind-kind", tmp_path).of("crash") is None


@pytest.mark.parametrize(
    ("changed", "is_there"),
    [
        ("gateway/a.py", False),
        ("constraints.txt", False),
        ("scenarios/test_crash.py", False),
        ("docs/a.md", True),
    ],
)
def test_a_result_is_of_its_sources(tmp_path: Path, checkout: Path, changed: str, is_there: bool) -> None:
    Results(cache=tmp_path).keep(RESULT)
    (checkout / changed).write_text("changed")
    assert (Results(cache=tmp_path).of("crash") is not None) == is_there


def test_requests_are_counted_by_their_ends() -> None:
    account = Account(problems=["a: lost"], ends={"complete": 5, "UNAVAILABLE": 2})
    assert counts([account, account]) == {"complete": 10, "errors": 4, "wrong": 2}


def test_the_table_has_what_ran_and_what_did_not() -> None:
    lines = list(table({("1", "install"): None, ("2", "crash"): RESULT}))
    assert lines[1].split() == ["install", "1", "not", "run"]
    assert lines[2].split() == ["crash", "2", "passed", "12.3", "2026-01-02", "03:04"]
    assert lines[3] == "    back 3.1 s later"
    assert lines[4] == "1 of 2 scenarios passed, 12 s"
    assert lines[5] == (
        "42 requests in 1 scenarios: 40 with all of their own tokens, 2 with an error that has a name, "
        "0 lost, doubled or wrong"
    )
