"""The dataset format: what a line may hold, and what is said about one that cannot be used."""

from pathlib import Path

import pytest

from sagesched_emulator.dataset import DEFAULT_MAX_TOKENS, DatasetError, Record, read_dataset, write_dataset


def written(folder: Path, text: str) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_needs_no_more_than_a_prompt_and_a_length(tmp_path: Path) -> None:
    (record,) = read_dataset(written(tmp_path, '{"prompt": "Why?", "output_tokens": 12}\n'))
    assert record == Record(prompt="Why?", output_tokens=12)
    assert record.max_tokens == DEFAULT_MAX_TOKENS


def test_all_fields_survive_writing_and_reading(tmp_path: Path) -> None:
    records = [
        Record(
            prompt="Grüße\u2028?", output_samples=(3, 5), prompt_tokens=7, dataset="own", model="m", id="a"
        ),
        Record(prompt="b", output_tokens=4, output_samples=(9,), max_tokens=64, arrival_s=0.0),
    ]
    write_dataset(tmp_path / "out.jsonl", records)
    assert read_dataset(tmp_path / "out.jsonl") == records


def test_null_is_a_field_that_is_not_there(tmp_path: Path) -> None:
    names = (
        *("output_samples", "prompt_tokens", "max_tokens", "arrival_s", "model", "dataset", "id", "censored"),
        *("tenant", "priority", "deadline_s"),
    )
    nothing = ", ".join(f'"{name}": null' for name in names)
    (record,) = read_dataset(written(tmp_path, f'{{"prompt": "a", "output_tokens": 1, {nothing}}}\n'))
    assert record == Record(prompt="a", output_tokens=1)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a", "output_tokens": 1}\r\n')
    assert read_dataset(path) == [Record(prompt="a", output_tokens=1)]


def test_unknown_fields_and_empty_lines_are_ignored(tmp_path: Path) -> None:
    path = written(tmp_path, '\n{"prompt": "a", "output_tokens": 1, "user": {"name": "x"}}\n\n')
    assert len(read_dataset(path)) == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON object is needed"),
        ('{"output_tokens": 1}', "'prompt' is missing or empty"),
        ('{"prompt": 3, "output_tokens": 1}', "'prompt' must be a string"),
        ('{"prompt": "a"}', "needs 'output_tokens' or 'output_samples'"),
        ('{"prompt": "a", "output_samples": []}', "needs 'output_tokens' or 'output_samples'"),
        ('{"prompt": "a", "output_samples": 5}', "'output_samples' must be a list"),
        ('{"prompt": "a", "output_samples": [5, 0]}', "'output_samples' must be a whole number >= 1, got 0"),
        ('{"prompt": "a", "output_tokens": true}', "'output_tokens' must be a whole number"),
        ('{"prompt": "a", "output_tokens": 1.5}', "'output_tokens' must be a whole number"),
        ('{"prompt": "a", "output_tokens": 1, "max_tokens": 0}', "'max_tokens' must be a whole number >= 1"),
        ('{"prompt": "a", "output_tokens": 1, "arrival_s": -1}', "'arrival_s' must be seconds >= 0"),
        ('{"prompt": "a", "output_tokens": 1, "arrival_s": NaN}', "'arrival_s' must be seconds >= 0"),
        (r'{"prompt": "a\ud83d", "output_tokens": 1}', "'prompt' holds half of a character"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(tmp_path: Path, line: str, complaint: str) -> None:
    path = written(tmp_path, f'{{"prompt": "fine", "output_tokens": 1}}\n{line}\n')
    with pytest.raises(DatasetError, match=r"prompts\.jsonl:2: ") as caught:
        read_dataset(path)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_empty_or_binary_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere.jsonl: cannot be read: No such file"):
        read_dataset(tmp_path / "nowhere.jsonl")
    with pytest.raises(DatasetError, match="no records"):
        read_dataset(written(tmp_path, "\n"))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not UTF-8 text"):
        read_dataset(tmp_path / "binary.jsonl")


def test_a_recording_is_a_dataset_without_what_never_began_to_answer(tmp_path: Path) -> None:
    lines = [
        '{"outcome": "completed", "censored": false, "prompt": "a", "output_tokens": 3, "queue_s": 0.1}',
        '{"outcome": "never-fits", "censored": true, "prompt": "b", "output_tokens": 0}',
        '{"outcome": "cancelled", "censored": true, "prompt": "c", "output_tokens": 5}',
    ]
    records = read_dataset(written(tmp_path, "\n".join(lines)))
    assert records == [
        Record(prompt="a", output_tokens=3),
        Record(prompt="c", output_tokens=5, censored=True),
    ]
    write_dataset(tmp_path / "out.jsonl", records)
    assert read_dataset(tmp_path / "out.jsonl") == records


def test_a_recording_without_prompts_serves_those_who_need_none(tmp_path: Path) -> None:
    line = '{"outcome": "completed", "prompt_tokens": 7, "output_tokens": 3}'
    path = written(tmp_path, line)
    assert read_dataset(path, needs_prompts=False) == [Record(prompt="", prompt_tokens=7, output_tokens=3)]
    with pytest.raises(DatasetError, match=r"jsonl:1: a recording without prompts.*recorder\.prompts: Keep"):
        read_dataset(path)
    with pytest.raises(DatasetError, match="and so is 'prompt_tokens'"):
        read_dataset(written(tmp_path, '{"output_tokens": 3}'), needs_prompts=False)
    with pytest.raises(DatasetError, match="'censored' must be true or false"):
        read_dataset(written(tmp_path, '{"prompt": "a", "output_tokens": 3, "censored": 1}'))
