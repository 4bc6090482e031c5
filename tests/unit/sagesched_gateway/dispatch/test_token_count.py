"""Counting prompt tokens, exactly or by what was learned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from sagesched_gateway.dispatch.token_count import SLOW_CHARACTERS, SLOW_TO_ESTIMATE, TokenCounter
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


def test_long_prompts_are_slow_sooner_where_a_tokenizer_runs(tokenizer_file):
    assert TokenCounter(ModelTokenizer(str(tokenizer_file))).is_slow("a" * SLOW_CHARACTERS)
    assert not TokenCounter(ModelTokenizer(str(tokenizer_file))).is_slow("a")
    assert not TokenCounter().is_slow("a" * SLOW_CHARACTERS)
    assert TokenCounter().is_slow("a" * SLOW_TO_ESTIMATE)


def test_a_text_too_long_for_the_event_loop_teaches_nothing():
    counter = TokenCounter()
    before = counter.count_prompt("word " * 10)
    for _ in range(20):
        counter.learn("word " * SLOW_TO_ESTIMATE, 10)
    assert counter.count_prompt("word " * 10) == before


def test_without_a_tokenizer_english_is_first_taken_for_four_or_five_characters_per_token():
    text = "The quick brown fox jumps over the lazy dog, and nobody knows why it does so every day. " * 10
    assert len(text) / 5 < TokenCounter().count(text) < len(text) / 4


def test_the_estimate_follows_the_engine_and_forgets_an_old_mix():
    counter = TokenCounter()
    for _ in range(300):
        counter.learn("x" * 2000, 1000)
    assert counter.count_prompt("x" * 2000) == pytest.approx(1000, rel=0.05)
    for _ in range(3000):
        counter.learn("x" * 6000, 1000)
    assert counter.count_prompt("x" * 6000) == pytest.approx(1000, rel=0.05)


def test_a_template_around_each_prompt_is_learnt_and_is_no_part_of_answers():
    counter = TokenCounter()
    for number in range(60):
        words = "word " * (5 + 7 * number % 200)
        counter.learn(words, 40 + words.count(" "))
    assert counter.count_prompt("word " * 10) == pytest.approx(50, abs=3)
    assert counter.count_prompt("word " * 300) == pytest.approx(340, abs=15)
    assert counter.count("word " * 10) == pytest.approx(10, abs=3)


def test_kinds_of_text_are_told_apart():
    counter = TokenCounter()
    for number in range(60):
        counter.learn("word " * (20 + number), 20 + number)
        counter.learn("7" * (50 + 3 * number), 50 + 3 * number)  # a token for each digit
        counter.learn("\u6587" * (30 + number), 2 * (30 + number))
    assert counter.count_prompt("word " * 200) == pytest.approx(200, rel=0.1)
    assert counter.count_prompt("7" * 200) == pytest.approx(200, rel=0.1)
    assert counter.count_prompt("\u6587" * 200) == pytest.approx(400, rel=0.1)


@given(st.lists(st.tuples(st.text(max_size=200), st.integers(1, 100_000)), max_size=30), st.text())
def test_whatever_was_learnt_a_text_has_at_least_one_token(learnt, text):
    counter = TokenCounter()
    for prompt, tokens in learnt:
        counter.learn(prompt, tokens)
    assert counter.count(text) >= 1
    assert counter.count_prompt(text) >= 1
