"""No measured prompt, nor a copy of it, is among those the predictor has seen before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sagesched_emulator.dataset import Record
from sagesched_emulator.demo.selection import Selection, comparable, select


def some_records(num: int, *, copies: int = 1) -> list[Record]:
    return [Record(prompt=f"prompt {n}", output_tokens=10) for n in range(num) for _ in range(copies)]


def prompts(records: list[Record]) -> set[str]:
    return {record.prompt for record in records}


def a_selection(
    records: list[Record], *, num_requests: int, seed: int = 1, max_warm: int = 1000
) -> Selection:
    return select(records, num_requests=num_requests, seed=seed, max_warm=max_warm)


def assert_apart(selection: Selection) -> None:
    assert not prompts(selection.measured) & prompts(selection.warm)


@pytest.mark.parametrize("copies", [1, 3])
def test_enough_prompts_are_split_without_a_note(copies: int) -> None:
    selection = a_selection(some_records(300, copies=copies), num_requests=200)
    assert_apart(selection)
    assert len(selection.measured) == len(prompts(selection.measured)) == 200
    assert len(selection.warm) == 100
    assert selection.note == ""


def test_too_few_prompts_hold_a_fifth_out_and_say_so() -> None:
    selection = a_selection(some_records(100), num_requests=800)
    assert_apart(selection)
    assert len(prompts(selection.measured)) == 80
    assert len(selection.warm) == 20
    assert "more than once" in selection.note


def test_a_handful_of_prompts_warms_nothing_and_says_so() -> None:
    selection = a_selection(some_records(10), num_requests=800)
    assert len(selection.measured) == 10
    assert selection.warm == []
    assert "starts empty" in selection.note


def test_the_warm_up_is_bounded() -> None:
    assert len(a_selection(some_records(500), num_requests=100, max_warm=50).warm) == 50


def test_the_seed_decides() -> None:
    records = some_records(300)
    first = a_selection(records, num_requests=100)
    assert first == a_selection(records, num_requests=100)
    assert first != a_selection(records, num_requests=100, seed=2)


def test_recorded_arrivals_are_split_by_time() -> None:
    records = [replace(record, arrival_s=float(n)) for n, record in enumerate(some_records(100))]
    selection = a_selection(records[::-1], num_requests=30)
    assert [record.arrival_s for record in selection.measured] == [float(n) for n in range(70, 100)]
    assert_apart(selection)
    assert len(selection.warm) == 70


def test_copies_that_differ_in_white_space_are_kept_apart() -> None:
    records = [
        Record(prompt=f"prompt{gap}{n}", output_tokens=10) for n in range(300) for gap in (" ", "\n  ")
    ]
    selection = a_selection(records, num_requests=200)
    measured = {comparable(record.prompt) for record in selection.measured}
    assert not measured & {comparable(record.prompt) for record in selection.warm}
    assert len(selection.warm) == 100


def test_no_warm_up_is_no_fault() -> None:
    selection = a_selection(some_records(300), num_requests=200, max_warm=0)
    assert (selection.warm, selection.note) == ([], "")


def test_without_a_warm_up_all_prompts_are_measured() -> None:
    selection = a_selection(some_records(100), num_requests=100, max_warm=0)
    assert (len(selection.measured), selection.warm, selection.note) == (100, [], "")


def test_what_is_preferred_is_measured_first():
    records = [Record(prompt=f"prompt {n}", output_tokens=n + 1) for n in range(200)]
    late = {record.prompt for record in records[120:]}
    selection = select(records, num_requests=60, seed=3, max_warm=100, prefer=lambda r: r.prompt in late)
    assert len(selection.measured) == 60
    assert {record.prompt for record in selection.measured} < late
    assert not {record.prompt for record in selection.warm} & {record.prompt for record in selection.measured}
