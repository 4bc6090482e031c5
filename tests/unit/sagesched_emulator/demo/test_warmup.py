"""The predictor is warmed as by a log: one answer per prompt."""

from __future__ import annotations

from sagesched_emulator.dataset import Record
from sagesched_emulator.demo.warmup import ANSWERED_FILE, find_encoder, one_answer_each, warm_history


def test_one_of_the_samples_happened() -> None:
    records = [Record(prompt=f"p{n}", output_samples=(5, 50, 500), arrival_s=1.0) for n in range(40)]
    answered = one_answer_each(records, seed=3)
    assert {record.output_tokens for record in answered} == {5, 50, 500}
    assert all(record.output_samples == () and record.arrival_s is None for record in answered)
    assert answered == one_answer_each(records, seed=3)


def test_a_recorded_answer_is_taken_and_cut() -> None:
    record = Record(prompt="p", output_tokens=900, output_samples=(5,), max_tokens=300)
    assert one_answer_each([record], seed=0)[0].output_tokens == 300


def test_the_predictor_is_warmed_by_its_own_tool(tmp_path):
    records = [Record(prompt=f"Say {n}.", output_tokens=n + 1) for n in range(3)]
    history = warm_history(records, find_encoder(), tmp_path, model="ensemble", seed=0)
    assert history is not None
    assert history.stat().st_size > 0
    assert (tmp_path / ANSWERED_FILE).read_text(encoding="utf-8").count("\n") == 3
