"""A starved run is thrown away with all others, and all are repeated slower: one table, one time scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sagesched_emulator.demo import runner
from sagesched_emulator.demo.errors import HopelessRunError, StarvedError
from sagesched_emulator.demo.gateway_process import Prediction
from sagesched_emulator.demo.progress import Silence
from sagesched_emulator.demo.trial import Trial, TrialPlan

MakeTrial = Callable[..., Trial]
NAMES = ["direct", "fcfs", "sagesched"]


class Told(Silence):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def plan() -> TrialPlan:
    def no_stand(time_scale: float, folder: Path) -> Any:
        raise AssertionError

    return TrialPlan(
        requests=(), stand=no_stand, prediction=Prediction(enabled=False), model="m", folder=Path()
    )


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, a_trial: MakeTrial) -> list[tuple[str, float]]:
    """Runs made; any at a scale below 0.7 is starved."""
    made: list[tuple[str, float]] = []

    def fake(plan: TrialPlan, name: str, time_scale: float, on_progress: Callable[[int], None]) -> Trial:
        made.append((name, time_scale))
        starved = time_scale < 0.7 and name == "fcfs"
        return a_trial(name, time_scale=time_scale, starved=starved)

    monkeypatch.setattr(runner, "run_trial", fake)
    return made


def test_runs_come_back_in_the_order_asked_for(runs: list[tuple[str, float]], plan: TrialPlan) -> None:
    measured = runner.measure(plan, NAMES, 1.0, Silence())
    assert [trial.name for trial in measured.trials] == NAMES
    assert measured.repeated == []
    assert [name for name, _ in runs] == NAMES[::-1], "the heaviest runs go first"


def test_a_starved_run_repeats_all_at_a_slower_scale(runs: list[tuple[str, float]], plan: TrialPlan) -> None:
    told = Told()
    measured = runner.measure(plan, NAMES, 0.5, told)
    assert {trial.time_scale for trial in measured.trials} == {0.8}
    assert (measured.time_scale, measured.repeated) == (0.8, [0.5])
    assert runs == [
        ("sagesched", 0.5),
        ("fcfs", 0.5),
        ("fcfs", 0.5),
        ("sagesched", 0.8),
        ("fcfs", 0.8),
        ("direct", 0.8),
    ]
    once_more, line = told.lines
    assert once_more.endswith("; once more")
    assert line.startswith("run 'fcfs' does not count: 10.0% of the engine's iterations ended late")
    assert line.endswith("all runs again at time scale 0.8")


def test_a_hiccup_after_a_run_that_counted_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, plan: TrialPlan, a_trial: MakeTrial
) -> None:
    made: list[str] = []

    def fake(plan: TrialPlan, name: str, time_scale: float, on_progress: Callable[[int], None]) -> Trial:
        made.append(name)
        return a_trial(name, time_scale=time_scale, starved=made == ["sagesched", "fcfs"])

    monkeypatch.setattr(runner, "run_trial", fake)
    measured = runner.measure(plan, NAMES, 0.5, Silence())
    assert made == ["sagesched", "fcfs", "fcfs", "direct"]
    assert (measured.time_scale, measured.repeated) == (0.5, [])


def test_a_run_that_was_broken_off_repeats_all_too(
    monkeypatch: pytest.MonkeyPatch, plan: TrialPlan, a_trial: MakeTrial
) -> None:
    def fake(plan: TrialPlan, name: str, time_scale: float, on_progress: Callable[[int], None]) -> Trial:
        if time_scale < 0.7:
            raise HopelessRunError("far too late")
        return a_trial(name, time_scale=time_scale)

    monkeypatch.setattr(runner, "run_trial", fake)
    told = Told()
    assert runner.measure(plan, NAMES, 0.5, told).repeated == [0.5]
    assert told.lines == ["run 'sagesched' does not count: far too late; all runs again at time scale 0.8"]


def test_a_fixed_scale_is_not_changed(runs: list[tuple[str, float]], plan: TrialPlan) -> None:
    with pytest.raises(StarvedError, match=r"cannot keep up at time scale 0\.5: 10\.0% of the engine's"):
        runner.measure(plan, NAMES, 0.5, Silence(), slowest=0.5)


def test_the_slowest_scale_is_tried_before_giving_up(runs: list[tuple[str, float]], plan: TrialPlan) -> None:
    with pytest.raises(StarvedError, match=r"time scale 0\.6"):
        runner.measure(plan, NAMES, 0.5, Silence(), slowest=0.6)
    assert ("sagesched", 0.6) in runs


def test_a_late_client_starves_a_run_too(a_trial: MakeTrial) -> None:
    assert "load client" in a_trial(late_s=0.5).starved
    assert a_trial(late_s=0.001).starved == ""
