from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_emulator.tokenizer import TOKENIZER_PATH, EmulatorTokenizer

TOKENIZER = EmulatorTokenizer()
PLAIN = (
    "Please write a short story about a young doctor who travels to a small village and discovers that "
    "the people there have never seen the sea. Explain how each of them would describe the water, and what "
    "they could learn from it."
)


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n\t ",
        "naïve café – 🙂👩‍👩‍👧 漢字",
        "def f(x):\n    return x ** 2\n",
        "a" * 5000,
        "\x00\x7f\ufeff",
    ],
)
def test_awkward_text_comes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_every_byte_is_in_the_vocabulary() -> None:
    assert {bytes([byte]) for byte in range(256)} <= set(TOKENIZER.vocabulary.values())


def test_plain_english_takes_about_four_characters_per_token() -> None:
    assert 3.5 < len(PLAIN) / len(TOKENIZER.encode(PLAIN)) < 5.5


def test_part_of_a_text_is_that_part_of_its_bytes() -> None:
    ids = TOKENIZER.encode("漢字 and 🙂")
    parts = [TOKENIZER.decode_bytes([token_id]) for token_id in ids]
    assert b"".join(parts).decode() == "漢字 and 🙂"


def test_unknown_ids_stand_for_nothing() -> None:
    known = TOKENIZER.encode("word")
    assert TOKENIZER.decode([-1, *known, 10**6]) == "word"


def test_incomplete_character_is_replaced() -> None:
    ids = TOKENIZER.encode("🙂")
    assert len(ids) > 1
    assert TOKENIZER.decode(ids[:-1]) == "\ufffd"


def test_file_is_small_enough_to_ship() -> None:
    assert TOKENIZER_PATH.stat().st_size < 300_000
