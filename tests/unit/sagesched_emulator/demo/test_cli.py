"""The demo's command line: usage errors end with 2, failures with 1 and one line, interruption with 130."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import pytest

from sagesched_emulator.demo import cli
from sagesched_emulator.demo.errors import StartError
from sagesched_emulator.demo.options import Options


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    options: list[Options] = []
    monkeypatch.setattr(cli, "run_demo", options.append)
    return options


def test_defaults_are_the_demo(ran: list[Options]) -> None:
    assert cli.run(parsed()) == 0
    assert ran == [Options()]


def test_choices_arrive(ran: list[Options], tmp_path: Path) -> None:
    words = ["--dataset", str(tmp_path / "d.jsonl"), "--requests", "5", "--time-scale", "0.7", "--seed", "4"]
    assert cli.run(parsed(*words, "--policies", "ssjf", "fcfs", "ssjf", "--rho", "2")) == 0
    (options,) = ran
    assert (options.num_requests, options.time_scale, options.seed, options.rho) == (5, 0.7, 4, 2.0)
    assert options.policies == ("ssjf", "fcfs")


def test_the_time_scale_may_be_left_to_the_demo(ran: list[Options]) -> None:
    cli.run(parsed("--time-scale", "auto"))
    assert ran[0].time_scale is None


@pytest.mark.parametrize(
    "words",
    [
        ("--requests", "0"),
        ("--rho", "-1"),
        ("--policies", "best"),
        ("--warm", "-1"),
        ("--time-scale", "0"),
        ("--seed", "-1"),
    ],
)
def test_nonsense_is_bad_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    assert ended.value.code == 2


def test_a_failure_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(options: Options) -> None:
        raise StartError("no encoder; install it")

    monkeypatch.setattr(cli, "run_demo", fail)
    assert cli.run(parsed()) == 1
    assert capsys.readouterr().err == "sagesched-emulator demo: no encoder; install it\n"


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "logs" / "answers.jsonl"
    in_the_way.mkdir(parents=True)
    assert cli.run(parsed("--requests", "3", "--warm", "0", "--out", str(tmp_path))) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("sagesched-emulator demo: ")
    assert str(in_the_way) in last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unwinds_once(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    unwound = []

    def interrupted(options: Options) -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # the second one does not cut the cleaning up short
            unwound.append(True)

    monkeypatch.setattr(cli, "run_demo", interrupted)
    before = signal.getsignal(number)
    assert cli.run(parsed()) == 130
    assert unwound == [True]
    assert signal.getsignal(number) is before
