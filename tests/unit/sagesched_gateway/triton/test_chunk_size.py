"""Tokens per chunk, told from the text: exact for one, near enough for several, exact with a tokenizer."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_gateway.triton.profiles.chunk_size import (
    LOOK_AGAIN,
    SETTLED,
    ChunkCount,
    ChunkSize,
    least_tokens,
)

CAP = 1000


def an_answer(rng: random.Random, num_tokens: int, rare: float = 0.25) -> list[str]:
    """Tokens of prose; so many of the words are rare and cut in two."""
    tokens: list[str] = []
    while len(tokens) < num_tokens:
        word = " " + "".join(rng.choice("abcdeoinrst") for _ in range(rng.randint(1, 9)))
        tokens += [word[:2], word[2:]] if rng.random() < rare and len(word) > 3 else [word]
        if rng.random() < 0.1:
            tokens.append(rng.choice(".,;:"))
    return tokens[:num_tokens]


def chunks_of(tokens: list[str], interval: int, *, cumulative: bool) -> list[str]:
    """As an engine streams them: the first token, each so many-th, the last."""
    ends = sorted({1, len(tokens), *range(interval, len(tokens), interval)})
    begins = [0] * len(ends) if cumulative else [0, *ends]
    return ["".join(tokens[begin:end]) for begin, end in zip(begins, ends, strict=False)]


def counted(size: ChunkSize, chunks: list[str], count=None, cap: int = CAP) -> list[int]:
    counter = ChunkCount(size, cap, count)
    return [counter.of(text, final=index == len(chunks) - 1) for index, text in enumerate(chunks)]


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("", 1),
        (" river", 1),
        ("river bank", 2),
        (" river.", 2),
        (" river, bank", 3),
        (".\n\n", 1),
        (" (x", 1),
        ("1 2", 2),
        (" größer wäre", 2),
        ("река течёт", 2),
        ("河流在早晨很安静", 6),
        ("河流", 1),
    ],
)
def test_borders_between_words_are_borders_between_tokens(text, least):
    assert least_tokens(text) == least


@given(
    st.lists(
        st.lists(st.from_regex(r"\A ?[^\W_]{1,9}\Z|\A[.,:;()\[\]{}=+*/#-]{1,3}\Z|\A\s{1,4}\Z"), min_size=1),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
)
def test_a_token_to_a_chunk_is_counted_exactly_whatever_it_says(answers, cumulative):
    size = ChunkSize()
    for tokens in answers:
        assert counted(size, chunks_of(tokens, 1, cumulative=cumulative)) == [1] * len(tokens)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 32), st.integers(0, 10**6), st.booleans())
def test_several_tokens_to_a_chunk_are_counted_within_a_tenth(interval, seed, cumulative):
    rng = random.Random(seed)
    size = ChunkSize()
    ratios = []
    for _ in range(30):
        tokens = an_answer(rng, min(1 + int(rng.expovariate(1 / 200)), CAP))
        new = counted(size, chunks_of(tokens, interval, cumulative=cumulative))
        assert new[0] == 1
        assert min(new[:-1], default=1) >= 1
        assert sum(new) <= CAP
        ratios.append((sum(new), len(tokens)))
    for skipped in (0, 10):
        ours, true = map(sum, zip(*ratios[skipped:], strict=True))
        assert ours == pytest.approx(true, rel=0.1)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 50), st.integers(0, 10**6), st.booleans())
def test_a_tokenizer_makes_it_exact(interval, seed, cumulative):
    rng = random.Random(seed)
    size = ChunkSize()
    size.saw_chunk(interval)
    for _ in range(20):
        tokens = an_answer(rng, rng.randint(1, 500))
        true = len(tokens)
        new = counted(size, chunks_of(tokens, interval, cumulative=cumulative), lambda _: true)  # noqa: B023
        assert sum(new) == true
    assert size.tokens == pytest.approx(interval, rel=0.06)


def test_an_answer_that_ran_into_its_cap_bounds_the_size_from_above():
    size = ChunkSize()
    odd = [" a b"] * 40  # a vocabulary with tokens of two words
    assert sum(counted(size, odd, cap=40)) == 40
    assert size.tokens == 1
    assert sum(counted(size, odd, cap=100)) == 40


def test_once_settled_few_streams_are_looked_at():
    size = ChunkSize()
    early = ChunkCount(size, CAP, None)
    for _ in range(SETTLED):
        assert not early.is_settled
        early.of(" river", final=False)
    early.of(" bank", final=False)
    assert early.is_settled
    looked_at = [size.wants_to_see() for _ in range(4 * LOOK_AGAIN)]
    assert sum(looked_at) == 4
    assert not ChunkCount(size, CAP, None).is_settled  # one that is looked at is looked at to its end


def test_another_size_is_noticed_by_those_that_are_looked_at():
    rng = random.Random(3)
    size = ChunkSize()
    counted(size, chunks_of(an_answer(rng, 2 * SETTLED), 1, cumulative=True))
    assert size.is_one
    counted(size, chunks_of(an_answer(rng, 400), 16, cumulative=True))
    assert not size.is_one
    assert size.wants_to_see()


def test_half_a_character_and_a_stop_word_that_is_cut_off_are_no_new_text():
    size = ChunkSize()
    text = " one two three four five six seven eight nine ten eleven twelve"
    chunks = [" one", text[:40] + "\N{REPLACEMENT CHARACTER}", text, text[:-7]]
    assert sum(counted(size, chunks)) == pytest.approx(12, abs=6)
