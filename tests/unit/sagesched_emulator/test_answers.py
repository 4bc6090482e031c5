from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from sagesched_emulator.answers import Answers, prompt_digest, write_answers
from sagesched_emulator.trace import Trace, TraceRequest


def a_request(prompt: str, output_tokens: int, prompt_tokens: int = 7) -> TraceRequest:
    return TraceRequest(
        id=f"{prompt}/{output_tokens}",
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        max_tokens=2048,
        arrival_s=0.0,
        output_tokens=output_tokens,
    )


def written(tmp_path: Path, *requests: TraceRequest) -> Answers:
    path = tmp_path / "answers.jsonl"
    write_answers(path, Trace(requests=requests, rho=1.0, seed=0, span_s=1.0))
    return Answers.load(path)


def test_answer_of_a_trace_is_found_by_its_prompt(tmp_path: Path) -> None:
    answers = written(tmp_path, a_request("one", 10, 3), a_request("two – 🙂", 20, 5))
    assert answers.next("two – 🙂") == (5, 20)
    assert answers.next("one") == (3, 10)


def test_repeated_prompt_takes_its_lines_in_turn(tmp_path: Path) -> None:
    answers = written(tmp_path, a_request("p", 1), a_request("q", 9), a_request("p", 2), a_request("p", 3))
    assert [answers.next("p").output_tokens for _ in range(5)] == [1, 2, 3, 1, 2]


def test_only_a_digest_of_the_prompt_is_written(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    write_answers(path, [a_request("secret prompt", 10)])
    line = json.loads(path.read_text())
    assert line == {"prompt_sha256": prompt_digest("secret prompt"), "prompt_tokens": 7, "output_tokens": 10}
    assert "secret" not in path.read_text()


def test_unknown_prompts_draw_the_same_lengths_each_time() -> None:
    first, second = Answers(), Answers()
    drawn = [first.next("unknown") for _ in range(4)]
    assert [second.next("unknown") for _ in range(4)] == drawn
    assert len({answer.output_tokens for answer in drawn}) > 1
    assert drawn[0].prompt_tokens is None


def test_unknown_prompts_have_plausible_lengths() -> None:
    answers = Answers()
    lengths = [answers.next(f"prompt {number}").output_tokens for number in range(500)]
    assert 150 < statistics.median(lengths) < 270
    assert min(lengths) >= 1


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"prompt_sha256": "ab"}',
        '{"prompt_sha256": "ab", "output_tokens": "many"}',
        '{"prompt_sha256": "ab", "output_tokens": 0}',
        '{"prompt_sha256": "ab", "output_tokens": 3, "prompt_tokens": 0}',
    ],
)
def test_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(f'{{"prompt_sha256": "ab", "output_tokens": 3}}\n{line}\n')
    with pytest.raises(ValueError, match=r"answers\.jsonl:2: "):
        Answers.load(path)
