"""How many tokens a prompt has: by the served model's tokenizer, else by characters per token as learned.

The count decides order and memory accounting only, so an estimate costs order, never a request.
"""

from __future__ import annotations

import math

from sagesched_gateway.tokenizer import ModelTokenizer

FIRST_GUESS_CHARACTERS = 4.0
"""Characters per token before the engine has told anything; English text in common vocabularies."""

SLOW_CHARACTERS = 2000
"""From this length on, tokenizing takes a millisecond or more and belongs into a thread."""

_PRIOR_TOKENS = 500.0
_MEMORY_TOKENS = 200_000.0  # older counts fade, so that a changed mix of languages is followed


class TokenCounter:
    """Counts prompt tokens."""

    def __init__(self, tokenizer: ModelTokenizer | None = None) -> None:
        """Count by the tokenizer, if there is one."""
        self._tokenizer = tokenizer
        self._characters = FIRST_GUESS_CHARACTERS * _PRIOR_TOKENS
        self._tokens = _PRIOR_TOKENS

    @property
    def characters_per_token(self) -> float:
        """As learned so far."""
        return self._characters / self._tokens

    @property
    def is_exact(self) -> bool:
        """Whether counts are facts, not estimates."""
        return self._tokenizer is not None

    def is_slow(self, prompt: str) -> bool:
        """Whether counting this prompt would hold up the event loop."""
        return self._tokenizer is not None and len(prompt) >= SLOW_CHARACTERS

    def count(self, prompt: str) -> int:
        """Tokens of the prompt, at least 1; safe to call from a thread."""
        if self._tokenizer is None:
            return max(1, math.ceil(len(prompt) / self.characters_per_token))
        return max(1, self._tokenizer.count(prompt))

    def learn(self, prompt: str, tokens: int) -> None:
        """Take the engine's own count of a prompt."""
        if self._tokenizer is not None or tokens < 1:
            return
        fade = max(0.0, 1.0 - tokens / _MEMORY_TOKENS)
        self._characters = self._characters * fade + len(prompt)
        self._tokens = self._tokens * fade + tokens
