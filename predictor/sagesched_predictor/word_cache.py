"""Ids of words seen before, for tokenizers that look at each word by itself.

The tokenizers of BERT's kind lower the case of a text, drop control characters, split it into runs of letters
and digits and single punctuation marks, and then turn each of these words into ids without looking at its
neighbours. For text in ASCII all but the last step are one `translate` and one regular expression, and the
last step need be done only once for each word: looking a prompt of 128 tokens up takes a seventh of the time
that the library takes to encode it. What a word's ids are, the library alone says.
"""

from __future__ import annotations

import json
import re
import string
from itertools import chain
from typing import Any

from tokenizers import Tokenizer

# Of a quarter of a kilobyte each.
MAX_WORDS = 16_384
# Longer ones hardly come again.
MAX_CACHED_BYTES = 32
# What BERT's normaliser removes: control characters, of which these three are white space instead.
_REMOVED = bytes({*range(32), 127} - set(b"\t\n\r"))
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_WORD = re.compile(rb"[a-z0-9]+|[^a-z0-9\s]")


class WordCache:
    """Encodes text in ASCII word by word, exactly as its tokenizer does. Not thread-safe: one owner."""

    def __init__(self, tokenizer: Tokenizer, special: tuple[str, ...]) -> None:
        """Start empty; `cache_of` tells whether a tokenizer is fit for it.

        Args:
            tokenizer: of BERT's kind, without padding and truncation.
            special: contents of its added tokens, which it finds in the text before anything else.
        """
        self._tokenizer = tokenizer
        self._special = special
        self._ids: dict[bytes, list[int]] = {}

    def encode(self, text: str) -> list[int] | None:
        """Ids of `text`, without opening and closing tokens; None where the library must be asked."""
        if not text.isascii() or any(token in text for token in self._special):
            return None
        words = _WORD.findall(text.encode("ascii").translate(_LOWER, _REMOVED))
        try:
            return list(chain.from_iterable([self._ids[word] for word in words]))
        except KeyError:
            found = self._learned(words)
            return list(chain.from_iterable([found[word] for word in words]))

    def _learned(self, words: list[bytes]) -> dict[bytes, list[int]]:
        """Ids of these words, those not met before asked for and kept."""
        found = {word: self._ids.get(word) for word in words}
        unknown = [word for word, ids in found.items() if ids is None]
        # One call for all of them; a word stays a word between spaces.
        encoding = self._tokenizer.encode(b" ".join(unknown).decode("ascii"), add_special_tokens=False)
        fresh: list[list[int]] = [[] for _ in unknown]
        for number, token in zip(encoding.word_ids, encoding.ids, strict=True):
            assert number is not None, "only special tokens belong to no word"
            fresh[number].append(token)
        learned = dict(zip(unknown, fresh, strict=True))
        if len(self._ids) + len(learned) > MAX_WORDS:
            self._ids.clear()  # what is in use comes back with the next prompts
        self._ids |= {word: ids for word, ids in learned.items() if len(word) <= MAX_CACHED_BYTES}
        return {word: learned[word] if ids is None else ids for word, ids in found.items()}


def cache_of(tokenizer: Tokenizer) -> WordCache | None:
    """A cache of this tokenizer's words; None where it does not look at each word by itself."""
    told: dict[str, Any] = json.loads(tokenizer.to_str())
    normalizer, splitter = told.get("normalizer") or {}, told.get("pre_tokenizer") or {}
    is_berts = (
        (normalizer.get("type"), normalizer.get("lowercase"), normalizer.get("clean_text"))
        == ("BertNormalizer", True, True)
        and splitter.get("type") == "BertPreTokenizer"
        and told.get("model", {}).get("type") == "WordPiece"
    )
    added = told.get("added_tokens") or []
    # One that is a word itself, or several, would be found where words stand apart from their text.
    are_apart = all(not token["normalized"] and _is_no_word(token["content"]) for token in added)
    return (
        WordCache(tokenizer, tuple(token["content"] for token in added)) if is_berts and are_apart else None
    )


def _is_no_word(content: str) -> bool:
    return not content.isascii() or (" " not in content and not _WORD.fullmatch(content.encode("ascii")))
