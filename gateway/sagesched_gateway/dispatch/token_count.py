"""How many tokens a text has: by the served model's tokenizer, else by an estimate that is learnt.

The count decides order and memory accounting only, so an estimate costs order, never a request.
"""

from __future__ import annotations

import math

from sagesched_gateway.dispatch.token_estimate import TokenEstimate
from sagesched_gateway.tokenizer import ModelTokenizer

SLOW_CHARACTERS = 2000
"""From this length on, tokenizing takes a millisecond or more and belongs into a thread."""

SLOW_TO_ESTIMATE = 200_000
"""The same for an estimate; nothing is learnt from a text so long."""


class TokenCounter:
    """Counts tokens of prompts and answers."""

    def __init__(self, tokenizer: ModelTokenizer | None = None) -> None:
        """Count by the tokenizer, if there is one."""
        self._tokenizer = tokenizer
        self._estimate = TokenEstimate()

    @property
    def is_exact(self) -> bool:
        """Whether counts are facts, not estimates."""
        return self._tokenizer is not None

    def is_slow(self, text: str) -> bool:
        """Whether counting this text would hold up the event loop."""
        return len(text) >= (SLOW_TO_ESTIMATE if self._tokenizer is None else SLOW_CHARACTERS)

    def count(self, text: str) -> int:
        """Tokens of the text, at least 1; safe to call from a thread where `is_slow`."""
        tokens = self._estimate.of(text) if self._tokenizer is None else self._tokenizer.count(text)
        return max(1, math.ceil(tokens))

    def count_prompt(self, prompt: str) -> int:
        """The same for a prompt, with the template that the engine is seen to put around it."""
        tokens = (
            self._estimate.of_prompt(prompt) if self._tokenizer is None else self._tokenizer.count(prompt)
        )
        return max(1, math.ceil(tokens))

    def learn(self, prompt: str, tokens: int) -> None:
        """Take the engine's own count of a prompt."""
        if self._tokenizer is None and tokens >= 1 and not self.is_slow(prompt):
            self._estimate.learn(prompt, tokens)
