"""Word by word gives what the library gives for the whole text, whatever the text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from sagesched_predictor import word_cache
from sagesched_predictor.artifact import TOKENIZER_FILE
from sagesched_predictor.tokenizer import PromptTokenizer
from sagesched_predictor.word_cache import WordCache, cache_of

ASCII = st.text(st.characters(max_codepoint=127))
# Text such as the library treats in its own way: special tokens, long words, words cut by control characters.
ODD = st.sampled_from(
    [
        *("[CLS]", "[SEP]", "[UNK]", "[MASK]", "[PAD]", "[cls]", "[", "##ing"),
        *("x" * 100, "y" * 101, "Z" * 300, "internationalisation", "don't", "3.14"),
        *(" ", "\t", "\r\n", "\x0b", "\x0c", "\x1c", "\x7f"),
    ]
)
WIDE = st.text(st.one_of(st.characters(max_codepoint=127), st.characters(exclude_categories=["Cs"])))


@pytest.fixture(scope="module")
def library(encoder_folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(encoder_folder / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@pytest.fixture(scope="module")
def cache(library: Tokenizer) -> WordCache:
    found = cache_of(library)
    assert found is not None
    return found


def ids_of(library: Tokenizer, text: str) -> list[int]:
    return library.encode(text, add_special_tokens=False).ids


@given(text=st.one_of(ASCII, st.lists(st.one_of(ODD, ASCII)).map("".join)))
def test_ascii_is_encoded_as_the_library_does(library: Tokenizer, cache: WordCache, text: str) -> None:
    special = any(f"[{name}]" in text for name in ("CLS", "SEP", "UNK", "MASK", "PAD"))
    assert cache.encode(text) == (None if special else ids_of(library, text))


@given(prompt=st.one_of(WIDE, st.lists(st.one_of(ODD, WIDE)).map("".join)))
def test_prompts_get_the_librarys_ids_and_get_them_again(
    library: Tokenizer, encoder_folder: Path, prompt: str
) -> None:
    tokenizer = PromptTokenizer(encoder_folder / TOKENIZER_FILE, 100_000)
    first, again = tokenizer.encode([prompt]), tokenizer.encode([prompt])
    assert first == again == [[101, *ids_of(library, prompt), 102]]


def test_every_character_of_ascii_between_letters(library: Tokenizer, cache: WordCache) -> None:
    for code in range(128):
        for text in (f"one{chr(code)}two", f"one {chr(code)} two", chr(code)):
            assert cache.encode(text) == ids_of(library, text), repr(text)


def test_other_than_ascii_is_left_to_the_library(cache: WordCache) -> None:
    assert cache.encode("naïve") is None


def test_keeps_no_more_words_than_it_may(library: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_cache, "MAX_WORDS", 8)
    cache = WordCache(library, ())
    for number in range(20):
        text = f"word{number} and {'long' * 20} again"
        assert cache.encode(text) == ids_of(library, text)
        assert len(cache._ids) <= 8
    assert not any(len(word) > word_cache.MAX_CACHED_BYTES for word in cache._ids)
    many = " ".join(str(number) for number in range(20))
    assert cache.encode(many) == ids_of(library, many)


def _cased(told: dict[str, Any]) -> None:
    told["normalizer"]["lowercase"] = False


def _unclean(told: dict[str, Any]) -> None:
    told["normalizer"]["clean_text"] = False


def _no_normalizer(told: dict[str, Any]) -> None:
    told["normalizer"] = None


def _split_at_white_space(told: dict[str, Any]) -> None:
    told["pre_tokenizer"] = {"type": "Whitespace"}


def _with_a_word_added(told: dict[str, Any]) -> None:
    told["added_tokens"][0]["content"] = "hello"


def _with_words_added(told: dict[str, Any]) -> None:
    told["added_tokens"][0]["content"] = "hello world"


def _found_after_normalizing(told: dict[str, Any]) -> None:
    told["added_tokens"][0]["normalized"] = True


@pytest.mark.parametrize(
    "change",
    [
        _cased,
        _unclean,
        _no_normalizer,
        _split_at_white_space,
        _with_a_word_added,
        _with_words_added,
        _found_after_normalizing,
    ],
)
def test_other_tokenizers_are_left_to_the_library(
    library: Tokenizer, change: Callable[[dict[str, Any]], None]
) -> None:
    told = json.loads(library.to_str())
    change(told)
    assert cache_of(Tokenizer.from_str(json.dumps(told))) is None
