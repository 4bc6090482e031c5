"""The predictor is warmed as by a log: one answer per prompt."""

from __future__ import annotations

from sagesched_emulator.dataset import Record
from sagesched_emulator.demo.warmup import one_answer_each


def test_one_of_the_samples_happened() -> None:
    records = [Record(prompt=f"p{n}", output_samples=(5, 50, 500), arrival_s=1.0) for n in range(40)]
    answered = one_answer_each(records, seed=3)
    assert {record.output_tokens for record in answered} == {5, 50, 500}
    assert all(record.output_samples == () and record.arrival_s is None for record in answered)
    assert answered == one_answer_each(records, seed=3)


def test_a_recorded_answer_is_taken_and_cut() -> None:
    record = Record(prompt="p", output_tokens=900, output_samples=(5,), max_tokens=300)
    assert one_answer_each([record], seed=0)[0].output_tokens == 300
