"""`Answer`: what has come for one prompt so far: text, tokens, and why it ended. Pure but for the counter.

The engine's own counts are taken where it tells them. Where it does not, the served model's tokenizer counts
(exact), or an estimate that is learnt from prompts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.kserve import ModelInferResponse
from sagesched_gateway.text import TextPiece, TextReader

STOP, LENGTH = "stop", "length"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a prompt and of its answer."""

    prompt_tokens: int
    completion_tokens: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens
        )


class Answer:
    """One answer under way."""

    def __init__(self, *, prompt: str, max_tokens: int, reader: TextReader, counter: TokenCounter) -> None:
        self._prompt = prompt
        self._max_tokens = max_tokens
        self._reader = reader
        self._counter = counter
        self._texts: list[str] = []
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None
        self._told_reason: str | None = None

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._texts)

    def add(self, response: ModelInferResponse) -> str:
        """Take a response; returns its new text.

        Raises:
            UpstreamError: it lacks the text.
        """
        return self._take(self._reader.read(response))

    def close(self) -> str:
        """No response is to come; returns the text that was held back."""
        return self._take(self._reader.close())

    async def usage(self) -> Usage:
        """Tokens, when it has ended."""
        if self._input_tokens is None:
            self._input_tokens = await self._counted(self._prompt, self._counter.count_prompt)
        if self._output_tokens is None:
            self._output_tokens = min(await self._counted(self.text, self._counter.count), self._max_tokens)
        return Usage(self._input_tokens, self._output_tokens)

    async def finish_reason(self) -> str:
        """`stop` or `length`, when it has ended."""
        if self._told_reason is not None:
            return self._told_reason
        usage = await self.usage()
        return LENGTH if usage.completion_tokens >= self._max_tokens else STOP

    def _take(self, piece: TextPiece) -> str:
        if piece.text:
            self._texts.append(piece.text)
        if piece.input_tokens is not None:
            self._input_tokens = piece.input_tokens
        if piece.output_tokens is not None:
            self._output_tokens = (self._output_tokens or 0) + piece.output_tokens
        self._told_reason = piece.finish_reason or self._told_reason
        return piece.text

    async def _counted(self, text: str, count: Callable[[str], int]) -> int:
        if not text:
            return 0
        return await asyncio.to_thread(count, text) if self._counter.is_slow(text) else count(text)
