from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagesched_predictor.dataset import read_examples
from sagesched_predictor.errors import DatasetError
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.warming import GROUP, warm


def a_dataset(tmp_path: Path, *lines: dict[str, Any] | str) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_reads_what_is_there_and_fills_in_the_rest(tmp_path: Path) -> None:
    path = a_dataset(
        tmp_path,
        {"prompt": "p*1", "output_tokens": 5},
        "",
        {
            "prompt": "p*22",
            "output_samples": [3, 9],
            "prompt_tokens": 7,
            "max_tokens": 9,
            "model": "a",
            "id": "x",
        },
    )
    first, second = read_examples(path)
    assert (first.features.prompt_tokens, first.features.max_tokens, first.features.model) == (1, 0, "")
    assert first.output_tokens == (5,)
    assert (second.features.prompt_tokens, second.features.max_tokens, second.features.model) == (7, 9, "a")
    assert [(o.output_tokens, o.censored) for o in second.outcomes("each")] == [(3, False), (9, True)]
    assert [o.output_tokens for o in second.outcomes("first")] == [3]
    assert {e.features.model for e in read_examples(path, model="served")} == {"served"}


def test_what_would_have_been_cut_off_is_cut_off(tmp_path: Path) -> None:
    (example,) = read_examples(
        a_dataset(tmp_path, {"prompt": "p*1", "output_tokens": 500, "max_tokens": 100})
    )
    (outcome,) = example.outcomes("each")
    assert (outcome.output_tokens, outcome.censored) == (100, True)


def test_numbers_of_a_table_with_gaps_are_taken(tmp_path: Path) -> None:
    line = {"prompt": "p*1", "output_tokens": 24.0, "prompt_tokens": 5.0, "max_tokens": None}
    (example,) = read_examples(a_dataset(tmp_path, line))
    assert (example.output_tokens, example.features.prompt_tokens) == ((24,), 5)
    assert (example.features.max_tokens, type(example.output_tokens[0])) == (0, int)


def test_without_a_cap_nothing_is_cut_off(tmp_path: Path) -> None:
    (example,) = read_examples(a_dataset(tmp_path, {"prompt": "p*1", "output_tokens": 30_000}))
    (outcome,) = example.outcomes("each")
    assert (outcome.output_tokens, outcome.censored) == (30_000, False)


def test_a_recording_is_read_without_what_never_began_to_answer_and_had_no_text(tmp_path: Path) -> None:
    path = a_dataset(
        tmp_path,
        {"prompt_tokens": 3, "output_tokens": 5, "outcome": "completed", "censored": False},
        {"prompt": "p*1", "output_tokens": 0, "outcome": "queue-full", "censored": True},
        {"prompt": "p*2", "output_tokens": 7, "outcome": "cancelled", "censored": True},
    )
    (example,) = read_examples(path)
    assert [(o.output_tokens, o.censored) for o in example.outcomes("each")] == [(7, True)]


def test_a_recording_without_prompts_is_told_how_to_have_them(tmp_path: Path) -> None:
    line = {"prompt_hash": "ab", "prompt_tokens": 3, "output_tokens": 5, "outcome": "completed"}
    with pytest.raises(DatasetError, match=r"data\.jsonl: no line has .* `recorder\.prompts: Keep`"):
        list(read_examples(a_dataset(tmp_path, line, line)))


def test_embeds_in_groups(tmp_path: Path, direction_encoder: Any) -> None:
    lines = [{"prompt": f"p*{i}", "output_samples": [i, i + 1, i + 2]} for i in range(GROUP + 5)]
    history = History(2)
    predictor = Predictor(direction_encoder, history)
    assert warm(predictor, read_examples(a_dataset(tmp_path, *lines))) == 3 * (GROUP + 5)
    assert [len(asked) for asked in direction_encoder.asked] == [GROUP, 5]
    assert len(history) == 3 * (GROUP + 5)
    assert warm(predictor, [], "first") == 0


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        {"output_tokens": 3},
        {"prompt": "p"},
        {"prompt": "p", "output_samples": []},
        {"prompt": "p", "output_samples": [1, None]},
        {"prompt": "p", "output_tokens": -1},
        {"prompt": "p", "output_tokens": 2.5},
        {"prompt": "p", "output_tokens": 1, "max_tokens": "many"},
        {"prompt": "p", "output_tokens": 10**30},
        {"prompt": "p", "output_tokens": 1, "prompt_tokens": 1e300},
        pytest.param({"prompt": "p", "output_tokens": 1, "top_p": 10**400}, id="top_p too large"),
        pytest.param("[" * 100_000, id="too deep"),
    ],
    ids=str,
)
def test_a_wrong_line_is_named(tmp_path: Path, line: Any) -> None:
    path = a_dataset(tmp_path, {"prompt": "p", "output_tokens": 1}, line)
    with pytest.raises(DatasetError, match=r"data\.jsonl:2: "):
        list(read_examples(path))


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nowhere", binary):
        with pytest.raises(DatasetError, match=path.name):
            list(read_examples(path))
