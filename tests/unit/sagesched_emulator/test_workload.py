"""The generated workload: seeded, shaped like recorded answers, learnable from its words."""

import numpy as np
import pytest

from sagesched_emulator.dataset import DEFAULT_MAX_TOKENS, Record
from sagesched_emulator.workload import generate
from sagesched_emulator.workload.fitted import FITTED
from sagesched_emulator.workload.generator import subject_score
from sagesched_emulator.workload.lengths import RUNAWAY_TOKENS, TaskLengths
from sagesched_emulator.workload.material import SENTENCES, material
from sagesched_emulator.workload.task import CUES
from sagesched_emulator.workload.tasks import TASKS
from sagesched_emulator.workload.words import WORDS, fill

RECORDS = generate(2000, seed=11)


def answers(records: list[Record]) -> np.ndarray:
    return np.minimum([record.output_samples for record in records], DEFAULT_MAX_TOKENS)


def test_the_seed_decides_everything() -> None:
    assert generate(50, seed=1) == generate(50, seed=1)
    assert generate(50, seed=1) != generate(50, seed=2)


def test_every_record_has_ten_answers_a_prompt_length_and_the_usual_cap() -> None:
    for record in RECORDS:
        assert len(record.output_samples) == 10
        assert record.output_tokens is None
        assert record.prompt_tokens is not None
        assert record.prompt_tokens >= 36
        assert record.max_tokens == DEFAULT_MAX_TOKENS


def test_lengths_are_those_of_recorded_answers() -> None:
    # Recorded: mean 423, median 396, 99th percentile 1,460, 0.5 % at the cap; spread within a prompt 0.16.
    lengths = answers(RECORDS)
    assert 370 < lengths.mean() < 470
    assert 340 < np.median(lengths) < 450
    assert 1100 < np.quantile(lengths, 0.99) < 1900
    assert 0.001 < (lengths == DEFAULT_MAX_TOKENS).mean() < 0.015
    assert 0.11 < np.median(np.log(lengths).std(axis=1, ddof=1)) < 0.20


def test_prompts_are_a_few_hundred_tokens_with_some_above_a_thousand() -> None:
    tokens = np.array([record.prompt_tokens for record in RECORDS])
    assert 180 < tokens.mean() < 300
    assert 0.02 < (tokens > 1000).mean() < 0.10
    assert tokens.max() < 3000


def test_characters_agree_with_the_tokens_that_are_claimed() -> None:
    ratios = [
        len(record.prompt) / (record.prompt_tokens or 1) for record in RECORDS if len(record.prompt) > 800
    ]
    assert 2.0 < min(ratios) < max(ratios) < 5.0


def test_every_task_occurs_and_has_numbers() -> None:
    assert {task.name for task in TASKS} == set(FITTED) == {record.dataset for record in RECORDS}


def test_a_task_and_its_cues_say_something_about_length() -> None:
    def typical(task: str, cue: int) -> float:
        cues = next(CUES[other.cues] for other in TASKS if other.name == task)[cue]
        chosen = [r for r in RECORDS if r.dataset == task and any(words in r.prompt for words in cues)]
        return float(np.median(answers(chosen)))

    for task in ("chat", "function", "question"):
        assert typical(task, 0) < typical(task, 1)
    by_task = {task.name: answers([r for r in RECORDS if r.dataset == task.name]).mean() for task in TASKS}
    assert by_task["answer_from_text"] < 0.5 * by_task["program"]


def test_prompts_of_a_task_differ_but_share_wording() -> None:
    functions = [record.prompt for record in RECORDS if record.dataset == "function"]
    assert len(set(functions)) > 0.95 * len(functions)
    assert all("function" in prompt for prompt in functions)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_subject_scores_are_balanced_and_of_unit_variance(task) -> None:  # type: ignore[no-untyped-def]
    scores = [subject_score(task, subject) for subject in task.subjects]
    assert np.mean(scores) == pytest.approx(0.0, abs=1e-12)
    assert np.var(scores) == pytest.approx(1.0)
    assert all("{subject}" in phrasing for phrasing in task.phrasings)


def test_typical_lengths_follow_the_fitted_quantiles() -> None:
    lengths = TaskLengths(
        answer_tokens=(1, 10, 100, 200, 300, 400, 500), prompt_tokens=(5,) * 7, spread=0.1, spread_p90=0.2
    )
    assert lengths.typical_answer(0.0) == pytest.approx(200)
    assert lengths.typical_answer(0.6745) == pytest.approx(300, rel=1e-3)
    assert lengths.typical_answer(-50.0) == pytest.approx(1)
    assert lengths.typical_answer(50.0) == pytest.approx(500)


def test_a_few_answers_never_stop() -> None:
    drawn = FITTED["chat"].draw_answers(0.0, 5000, np.random.default_rng(0))
    assert 2 <= sum(length == RUNAWAY_TOKENS for length in drawn) <= 40


@pytest.mark.parametrize("kind", SENTENCES)
def test_material_is_about_as_long_as_wished(kind: str) -> None:
    rng = np.random.default_rng(1)
    short, long = material(kind, 100, rng), material(kind, 1000, rng)
    assert 6 < len(long) / len(short) < 16
    assert material(kind, 0, rng) == ""
    assert "{" not in long


def test_sentences_use_only_words_that_exist() -> None:
    for sentences in SENTENCES.values():
        for sentence in sentences:
            fill(sentence, np.random.default_rng(0))
    assert all(WORDS.values())


def test_nothing_cannot_be_generated() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        generate(0, seed=0)
