"""A log gets lines, not the frames of a bar."""

from __future__ import annotations

import pytest

from sagesched_emulator.demo import progress
from sagesched_emulator.demo.progress import Bar, Lines, progress_for


def test_a_stage_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(100) as lines:
        for text in ("warming", "run 1", "run 1", "run 2"):
            lines.stage(text)
            lines.advance_to(3)
        lines.say("a remark")
    assert capsys.readouterr().err.splitlines() == ["warming", "run 1", "run 2", "a remark"]


def test_a_long_stage_is_told_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with Lines(100) as lines:
        lines.stage("run 1")
        lines.advance_to(3)
    assert capsys.readouterr().err.splitlines()[-1] == "run 1: 3 of 100 answers in all runs"


def test_a_bar_may_go_back(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(10) as bar:
        bar.stage("run 1")
        bar.advance_to(10)
        bar.say("again")
        bar.advance_to(4)
    assert "again" in capsys.readouterr().err


def test_without_a_terminal_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False)
    assert isinstance(progress_for(3), Lines)
