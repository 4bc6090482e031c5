"""The emulated model's answers: readable, the same for the same prompt, and of any length asked for.

Two endless texts serve all requests; each reads one of them from an offset of its own. In the plain one every
token is a whole word or a full stop, so no chunk ends inside a character, and the text encodes to exactly the
tokens that it was made of. A prompt that is mostly not ASCII is answered in kind: in that text characters of
several bytes are spread over several tokens, as they are in the vocabularies of real models.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import numpy.typing as npt

from sagesched_emulator.tokenizer import EmulatorTokenizer

WORDS = """
the a each another every this one some any first second last small large simple common clear early late
morning river garden letter village student teacher farmer doctor engine machine station market island
picture answer question story reason method number system measure record table window paper music color
follows keeps gives holds opens moves turns brings needs can will may
and or but so then while because before after through under over near with without between
together again always often sometimes perhaps almost well better more less still
"""
MIXED_WORDS = "ärger 你好 世界 🙂 🧑‍🚀 été こんにちは привет наука ∑ naïve 한국어 😀 river"
STOP = "."
NUM_TOKENS = 16_384
SENTENCE_WORDS = (5, 12)

IntArray = npt.NDArray[np.int32]


class AnswerText:
    """Tokens of every answer."""

    def __init__(self, tokenizer: EmulatorTokenizer) -> None:
        """Make the endless text, the same each time."""
        chance = random.Random(NUM_TOKENS)
        words = [_single_token(tokenizer, " " + word) for word in WORDS.split()]
        stop = _single_token(tokenizer, STOP)
        tokens: list[int] = []
        while len(tokens) < NUM_TOKENS:
            tokens += [*chance.choices(words, k=chance.randint(*SENTENCE_WORDS)), stop]
        mixed: list[int] = []
        self._mixed_beginnings: list[int] = []
        mixed_words = [tokenizer.encode(" " + word) for word in MIXED_WORDS.split()]
        while len(mixed) < NUM_TOKENS:
            self._mixed_beginnings.append(len(mixed))
            mixed += chance.choice(mixed_words)
        self._texts: tuple[IntArray, IntArray] = (
            np.array(tokens[:NUM_TOKENS], dtype=np.int32),
            np.array(mixed, dtype=np.int32),
        )

    def offset(self, prompt: str) -> int:
        """Where the answer to that prompt begins: in the second text from `NUM_TOKENS` on."""
        digest = hashlib.sha256(prompt.encode("utf-8", errors="replace")).digest()
        number = int.from_bytes(digest[:4], "little")
        num_beyond = sum(ord(character) > 127 for character in prompt)
        if 2 * num_beyond > len(prompt):
            return NUM_TOKENS + self._mixed_beginnings[number % len(self._mixed_beginnings)]
        return number % NUM_TOKENS

    def tokens(self, offset: int, begin: int, end: int) -> IntArray:
        """Tokens `begin` to `end` (exclusive) of the answer that begins at `offset`."""
        is_mixed = offset >= NUM_TOKENS
        text = self._texts[is_mixed]
        first = (offset - NUM_TOKENS * is_mixed + begin) % text.size
        last = first + end - begin
        if last <= text.size:
            return text[first:last]
        return np.take(text, np.arange(first, last), mode="wrap")


def _single_token(tokenizer: EmulatorTokenizer, text: str) -> int:
    ids = tokenizer.encode(text)
    if len(ids) != 1:
        raise ValueError(
            f"{text!r} is {len(ids)} tokens in the emulator's vocabulary; answers need it to be one"
        )
    return ids[0]
