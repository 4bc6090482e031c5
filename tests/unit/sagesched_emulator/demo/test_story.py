"""What a demo prints and writes at its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sagesched_emulator.demo.gateway_process import Prediction, TritonAddresses
from sagesched_emulator.demo.runner import Measured
from sagesched_emulator.demo.scenario import Scenario
from sagesched_emulator.demo.story import report
from sagesched_emulator.demo.target import UserTriton
from sagesched_emulator.demo.trial import Trial, TrialPlan

MakeTrial = Callable[..., Trial]


def test_a_target_that_refuses_everything_gets_a_table_with_the_reason(
    a_trial: MakeTrial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand = UserTriton(TritonAddresses(grpc="t:8001", http="t:8000", metrics="t:8002"))
    plan = TrialPlan(
        requests=(), stand=lambda scale, folder: stand, prediction=Prediction(), model="m", folder=tmp_path
    )
    trials = [a_trial(name, ttlt_s=[], errors=["no such model"]) for name in ("direct", "fcfs")]
    report(
        Scenario(plan=plan, trace={}, subtitle="1 prompt to t:8001"),
        Measured(trials=trials, time_scale=1.0, repeated=[]),
        tmp_path,
    )
    told = capsys.readouterr().out
    assert "direct: 1 requests failed, the first with: no such model" in told
    assert "picture" not in told
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]
