"""The table says what was measured, and what its figures leave out."""

from __future__ import annotations

from collections.abc import Callable

from sagesched_emulator.demo.table import table
from sagesched_emulator.demo.trial import Trial

MakeTrial = Callable[..., Trial]


def test_one_line_per_run_with_ratios_to_the_first(a_trial: MakeTrial) -> None:
    lines = table([a_trial("direct"), a_trial("sagesched", ttlt_s=[1.0, 1.0])]).splitlines()
    direct, sagesched = lines[-2:]
    assert direct.split() == [
        *["direct", "3.00", "3.00", "3.90", "3.98"],
        *["1.50", "1.50", "1.95", "1.99", "4.00", "90%", "1.00x", "1.00x"],
    ]
    assert sagesched.split()[-2:] == ["0.33x", "0.25x"]


def test_all_lines_fit_their_headings(a_trial: MakeTrial) -> None:
    trials = [a_trial("direct", ttlt_s=[900.0, 1234.5]), a_trial("gittins-boost")]
    widths = {len(line) for line in table(trials).splitlines()[1:]}
    assert len(widths) == 1


def test_failures_are_said_below(a_trial: MakeTrial) -> None:
    text = table([a_trial("direct", errors=["UNAVAILABLE: gone", "other"])])
    assert "direct: 2 requests failed, the first with: UNAVAILABLE: gone" in text


def test_what_is_not_known_is_a_dash(a_trial: MakeTrial) -> None:
    line = table([a_trial("direct", ttlt_s=[], emulated=False)]).splitlines()[-1]
    assert set(line.split()[1:]) == {"-"}
