"""Counting prompt tokens, exactly or by what was learned."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from sagesched_gateway.dispatch.token_count import FIRST_GUESS_CHARACTERS, SLOW_CHARACTERS, TokenCounter
from sagesched_gateway.tokenizer import ModelTokenizer


@pytest.fixture
def tokenizer_file(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_a_tokenizer_counts_exactly_and_never_truncates(tokenizer_file):
    counter = TokenCounter(ModelTokenizer(str(tokenizer_file)))
    assert counter.count("a b a b c") == 5
    assert counter.is_exact


def test_an_empty_prompt_is_one_token(tokenizer_file):
    assert TokenCounter(ModelTokenizer(str(tokenizer_file))).count("") == 1
    assert TokenCounter().count("") == 1


def test_long_prompts_are_slow_only_where_a_tokenizer_runs(tokenizer_file):
    assert TokenCounter(ModelTokenizer(str(tokenizer_file))).is_slow("a" * SLOW_CHARACTERS)
    assert not TokenCounter(ModelTokenizer(str(tokenizer_file))).is_slow("a")
    assert not TokenCounter().is_slow("a" * SLOW_CHARACTERS)


def test_without_a_tokenizer_the_first_guess_is_rounded_up():
    assert TokenCounter().count("x" * 9) == -(-9 // FIRST_GUESS_CHARACTERS)


def test_the_guess_follows_the_engine_and_forgets_an_old_mix():
    counter = TokenCounter()
    for _ in range(300):
        counter.learn("x" * 2000, 1000)
    assert counter.characters_per_token == pytest.approx(2.0, rel=0.05)
    for _ in range(3000):
        counter.learn("x" * 6000, 1000)
    assert counter.characters_per_token == pytest.approx(6.0, rel=0.05)
