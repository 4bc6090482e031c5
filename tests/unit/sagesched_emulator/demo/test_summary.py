"""`summary.json` has the promised keys and is JSON that any reader takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sagesched_emulator.demo.summary import summary, write_summary
from sagesched_emulator.demo.trial import Trial

MakeTrial = Callable[..., Trial]
PROMISED = {
    "name",
    "policy",
    "sent",
    "completed",
    "failed",
    "mean_ttlt_s",
    "p50_ttlt_s",
    "p95_ttlt_s",
    "p99_ttlt_s",
    "mean_ttft_s",
    "p99_ttft_s",
    "mean_queue",
    "engine_busy",
}


def test_runs_have_the_promised_keys(a_trial: MakeTrial, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, summary({"rho": 1.4}, [a_trial("direct"), a_trial("fcfs", ttlt_s=[6.0])]))
    written = json.loads(path.read_text())
    assert written["trace"] == {"rho": 1.4}
    direct, fcfs = written["runs"]
    assert direct.keys() >= PROMISED
    assert (direct["name"], direct["policy"], direct["sent"], direct["mean_ttlt_s"]) == ("direct", None, 2, 3)
    assert (fcfs["name"], fcfs["policy"]) == ("fcfs", "fcfs")
    assert fcfs["mean_ttlt_ratio"] == pytest.approx(2.0)


def test_a_run_without_answers_has_nulls(a_trial: MakeTrial, tmp_path: Path) -> None:
    content = summary({}, [a_trial(ttlt_s=[], errors=["gone"], emulated=False)])
    write_summary(tmp_path / "summary.json", content)
    run = json.loads((tmp_path / "summary.json").read_text())["runs"][0]
    assert run["mean_ttlt_s"] is None
    assert run["engine_busy"] is None
    assert run["errors"] == ["gone"]
