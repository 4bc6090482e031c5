from __future__ import annotations

from pathlib import Path

import pytest

from sagesched_predictor.artifact import TOKENIZER_FILE
from sagesched_predictor.errors import ArtifactError
from sagesched_predictor.tokenizer import PromptTokenizer

OPENING, CLOSING = 101, 102


@pytest.fixture
def path(encoder_folder: Path) -> Path:
    return encoder_folder / TOKENIZER_FILE


def test_a_short_prompt_is_kept_whole(path: Path) -> None:
    (ids,) = PromptTokenizer(path, 256).encode(["hello world"])
    assert ids == [OPENING, 7592, 2088, CLOSING]


def test_a_long_prompt_keeps_head_and_tail(path: Path) -> None:
    words = [str(n) for n in range(1000, 1100)]
    whole, cut = (PromptTokenizer(path, limit).encode([" ".join(words)])[0] for limit in (256, 21))
    assert len(cut) == 21
    assert cut == [OPENING, *whole[1:11], *whole[-10:-1], CLOSING]


def test_a_huge_prompt_costs_no_more_than_a_long_one(path: Path) -> None:
    tokenizer = PromptTokenizer(path, 64)
    (ids,) = tokenizer.encode(["start " + "middle " * 300_000 + "end"])
    assert len(ids) == 64
    assert ids[1] == tokenizer.encode(["start"])[0][1]
    assert ids[-2] == tokenizer.encode(["end"])[0][1]


def test_an_empty_prompt_has_the_special_tokens(path: Path) -> None:
    assert PromptTokenizer(path, 8).encode(["", "\x00\n\t "]) == [[OPENING, CLOSING]] * 2
    assert PromptTokenizer(path, 8).encode([]) == []


def test_a_lone_surrogate_goes_as_control_characters_do(path: Path) -> None:
    tokenizer = PromptTokenizer(path, 8)
    assert tokenizer.encode(["hel\ud800lo wor\x00ld"]) == tokenizer.encode(["hello world"])


def test_refuses_a_limit_without_room(path: Path) -> None:
    with pytest.raises(ValueError, match="at least 4"):
        PromptTokenizer(path, 3)


def test_refuses_what_is_no_bert_tokenizer(tmp_path: Path) -> None:
    broken, foreign = tmp_path / "broken.json", tmp_path / "foreign.json"
    broken.write_text("{}")
    foreign.write_text(
        '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}'
    )
    with pytest.raises(ArtifactError, match="not a tokenizer"):
        PromptTokenizer(broken, 8)
    with pytest.raises(ArtifactError, match="BERT tokenizer"):
        PromptTokenizer(foreign, 8)
