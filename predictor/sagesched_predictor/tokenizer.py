"""Prompt text -> input ids of the sentence encoder, cut to a length that an encoder run can afford.

A long prompt keeps its head and its tail: instructions stand at one end or the other, the material between
them says less about how long the answer will be.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

# Read by the Rust side on first use: its own thread pool would take cores from the gateway beside us.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer

from sagesched_predictor.errors import ArtifactError
from sagesched_predictor.word_cache import cache_of

# Characters looked at per kept token and end. English has four or five to a token, so this never decides what
# is kept in ordinary text, but a prompt of a megabyte costs no more than one of a few thousand characters.
CHARACTERS_PER_TOKEN = 12
# Room for the opening and closing tokens and one token of either end.
SMALLEST_LIMIT = 4


class PromptTokenizer:
    """Turns prompts into id lists of at most `max_prompt_tokens`, special tokens included."""

    def __init__(self, path: Path, max_prompt_tokens: int) -> None:
        """Load a `tokenizer.json`.

        Raises:
            ArtifactError: the file is no tokenizer, or lacks the [CLS] and [SEP] tokens.
            ValueError: `max_prompt_tokens` is below `SMALLEST_LIMIT`.
        """
        if max_prompt_tokens < SMALLEST_LIMIT:
            raise ValueError(f"max_prompt_tokens must be at least {SMALLEST_LIMIT}, got {max_prompt_tokens}")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ArtifactError(f"{path}: not a tokenizer ({error}); export the encoder again") from error
        # The published file pads and truncates to 128; both are decided here instead.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        opening, closing = (self._tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        if opening is None or closing is None:
            raise ArtifactError(f"{path}: no [CLS] and [SEP] tokens; this encoder needs a BERT tokenizer")
        self._opening, self._closing = opening, closing
        self._max_body = max_prompt_tokens - 2
        self._words = cache_of(self._tokenizer)

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Ids of each prompt, unpadded."""
        bodies = [self._body(self._shortened(prompt)) for prompt in prompts]
        return [[self._opening, *self._head_and_tail(body), self._closing] for body in bodies]

    def _body(self, text: str) -> list[int]:
        ids = None if self._words is None else self._words.encode(text)
        if ids is None:
            # JSON can carry lone surrogates, which the library refuses; they go as control characters do.
            sound = text.encode("utf-8", "ignore").decode("utf-8")
            # Of the library's ways of encoding the one that leaves out where in the text tokens stand.
            (encoding,) = self._tokenizer.encode_batch_fast([sound], add_special_tokens=False)
            ids = encoding.ids
        return ids

    def _shortened(self, prompt: str) -> str:
        span = CHARACTERS_PER_TOKEN * self._max_body
        return prompt if len(prompt) <= 2 * span else f"{prompt[:span]} {prompt[-span:]}"

    def _head_and_tail(self, ids: list[int]) -> list[int]:
        if len(ids) <= self._max_body:
            return ids
        head = (self._max_body + 1) // 2
        return ids[:head] + ids[len(ids) - (self._max_body - head) :]
