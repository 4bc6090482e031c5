"""`ChunkSize`: how many tokens a chunk of a model's streams brings, where the model counts none.

An engine that streams each N-th token (`stream_interval`) answers with 1, N - 1, N, N, … and a rest. N is
read from the text, for any vocabulary: a token hardly ever reaches over the space between two words or from a
word into the punctuation behind it, so a chunk has at least as many tokens as it has such borders, and one.
Among a few dozen chunks some are made of common words only, a token each: the `USUAL` quantile of these least
counts is N itself (four vocabularies, prose, tables and code: exact for 1 and 2, 14 to 17 of 16, 25 to 33 of
32). Scripts without spaces count by their characters. Reasons and figures: `docs/decisions/0043`.

No answer is longer than its cap: one of k chunks had more than N · (k - 2) tokens, which bounds N from above.
Where a tokenizer is there, whole answers are counted by it and tell N by themselves.

Chunks of one token are what engines send unless told otherwise. Once `SETTLED` chunks have shown no more they
are taken for that without another look, but for one stream in `LOOK_AGAIN`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

USUAL = 0.95
SETTLED = 64
LOOK_AGAIN = 32
REMEMBERED = 512
"""Chunks; then the older ones count half."""

UNSPACED_TOKENS = 0.75
"""Per character, in a run of `_UNSPACED`."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_HEAD = 32
_LEAST_SEVERAL = 1.5
_LEAST_EXACT_CHUNKS = 20.0

_INTO_PUNCTUATION = re.compile(r"[^\W_](?= *[!-/:-@\[-`{-~])")
_INTO_A_WORD = re.compile(r"\S\s+(?=[^\W_])")
# Thai and Lao, Burmese, Khmer, Chinese and Japanese; so long that it is next to never one token.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]{6,}"
)


def least_tokens(text: str) -> int:
    """Tokens that a text has at least, in next to any vocabulary; 1 or more."""
    borders = len(_INTO_PUNCTUATION.findall(text)) + len(_INTO_A_WORD.findall(text))
    runs = _UNSPACED.findall(text)
    return 1 + borders + sum(int(UNSPACED_TOKENS * len(run)) - 1 for run in runs)


class ChunkSize:
    """Of one model.

    Attributes:
        tokens: that a chunk brings, as far as is known; 1 or more.
    """

    def __init__(self) -> None:
        """Start with one token to a chunk."""
        self.tokens = 1.0
        self._num_streams = 0
        self._chunks: dict[int, float] = {}
        self._num_chunks = 0.0
        self._num_seen = 0
        self._most = math.inf
        self._exact_tokens = 0.0
        self._exact_chunks = 0.0

    @property
    def is_one(self) -> bool:
        """Whether a chunk is known to be a token."""
        return self.tokens == 1.0 and self._num_seen >= SETTLED

    @property
    def mean_least(self) -> float:
        """What `least_tokens` says of a chunk on average; 1 or more."""
        if not self._num_chunks:
            return 1.0
        return sum(least * weight for least, weight in self._chunks.items()) / self._num_chunks

    def wants_to_see(self) -> bool:
        """Whether one more stream must be looked at; to be asked once for each."""
        self._num_streams += 1
        return not self.is_one or self._num_streams % LOOK_AGAIN == 0

    def saw_chunk(self, least: int) -> None:
        """Take `least_tokens` of a chunk that was neither the first nor the last of its answer."""
        self._chunks[least] = self._chunks.get(least, 0.0) + 1.0
        self._num_chunks += 1.0
        self._num_seen += 1
        if self._num_chunks >= REMEMBERED:
            self._chunks = {known: weight / 2 for known, weight in self._chunks.items()}
            self._num_chunks /= 2
        self._judge()

    def saw_answer(self, num_chunks: int, max_tokens: int, tokens: int | None) -> None:
        """Take a whole answer.

        Args:
            num_chunks: that it came in.
            max_tokens: its cap.
            tokens: as a tokenizer counts them; None where there is none.
        """
        if num_chunks > 2:
            self._most = min(self._most, max((max_tokens - 1) / (num_chunks - 2), 1.0))
        if tokens is not None and num_chunks > 1:
            # The last chunk of several tokens is half full on average, and the first has one.
            self._exact_tokens += tokens - 0.5
            self._exact_chunks += num_chunks - 1.5
        self._judge()

    def _judge(self) -> None:
        usual = min(float(self._usual()), self._most)
        if usual >= _LEAST_SEVERAL and self._exact_chunks >= _LEAST_EXACT_CHUNKS:
            usual = max(self._exact_tokens / self._exact_chunks, 1.0)
        self.tokens = usual if usual >= _LEAST_SEVERAL else 1.0

    def _usual(self) -> int:
        """The `USUAL` quantile of what chunks had at least."""
        above = (1 - USUAL) * self._num_chunks
        for least in sorted(self._chunks, reverse=True):
            above -= self._chunks[least]
            if above < 0:
                return least
        return 1


class ChunkCount:
    """Counts one answer's tokens as its chunks come."""

    __slots__ = ("_count", "_counted", "_is_check", "_max_tokens", "_num_chunks", "_size", "_text", "_tokens")

    def __init__(self, size: ChunkSize, max_tokens: int, count: Callable[[str], int] | None) -> None:
        """Begin an answer.

        Args:
            size: of its model's chunks; learns from this answer.
            max_tokens: its cap.
            count: tokens of a whole answer's text; None where nobody can tell.
        """
        self._size = size
        self._max_tokens = max_tokens
        self._count = count
        self._is_check = size.is_one
        self._text = ""
        self._num_chunks = 0
        self._tokens = 0.0
        self._counted = 0

    @property
    def is_settled(self) -> bool:
        """Whether the rest of the answer is a token to a chunk, whatever is in it."""
        return self._size.is_one and not self._is_check

    def of(self, text: str, *, final: bool) -> int:
        """New tokens of the next chunk, by its text: what is new, or all so far.

        With the last one the answer has as many as it has by all that is known then: below 0 where that is
        fewer than were counted on the way.
        """
        self._num_chunks += 1
        least = least_tokens(self._new_part(text))
        if final:
            self._tokens = self._whole(least)
        elif self._num_chunks == 1:
            self._tokens = 1.0
        else:
            is_second = self._num_chunks == 2
            self._size.saw_chunk(least + 1 if is_second and least > 1 else least)
            size = self._size.tokens
            self._tokens += size - 1 if is_second and size > 1 else size
        new_tokens = round(self._tokens) - self._counted
        self._counted += new_tokens
        return new_tokens

    def _whole(self, last_least: int) -> float:
        """Tokens of the answer, its last chunk having so many at least."""
        num_chunks, size = self._num_chunks, self._size
        tokens = None if self._count is None else max(self._count(self._text), 1)
        size.saw_answer(num_chunks, self._max_tokens, tokens)
        if tokens is not None and size.tokens > 1:
            return min(tokens, self._max_tokens)
        if num_chunks == 1:
            return 1.0
        rest = min(max(size.tokens * last_least / size.mean_least, 1.0), size.tokens)
        before = num_chunks - 1.0 if size.tokens == 1 or num_chunks == 2 else size.tokens * (num_chunks - 2)
        return min(before + rest, self._max_tokens)

    def _new_part(self, text: str) -> str:
        text = text.rstrip(_REPLACEMENT)  # may stand for a character that is to come
        if text.startswith(self._text[:_HEAD]):  # all so far, be it that a stop word was cut off again
            new, self._text = text[len(self._text) :], text
            return new
        self._text += text
        return text
