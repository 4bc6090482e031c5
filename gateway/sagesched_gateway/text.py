"""Text in, text out, whatever the model's tensors are: what the OpenAI face needs of a profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sagesched_gateway.kserve import ModelInferResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an answer is to be drawn; None leaves it to the model.

    Attributes:
        max_tokens: cap on output tokens, >= 1.
        stream: give the answer in pieces.
        temperature: >= 0; 0 is greedy.
        top_p: 0..1.
        top_k: >= 1.
        stop: texts that end the answer.
        seed: of the engine's random numbers.
        presence_penalty: as OpenAI has it.
        frequency_penalty: as OpenAI has it.
        n: answers wanted.
        logprobs: log probabilities wanted.
        json_schema: JSON schema (as text) that the answer must follow.
    """

    max_tokens: int
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int = 1
    logprobs: bool = False
    json_schema: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """What one response adds to an answer.

    Attributes:
        text: new text, whole characters only.
        input_tokens: the prompt's length, where this response tells.
        output_tokens: output tokens that this response brought, where it tells.
        finish_reason: `stop` or `length`, where the model tells.
    """

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None


class TextReader(Protocol):
    """Reads the responses to one request, in order."""

    def read(self, response: ModelInferResponse) -> TextPiece:
        """The piece that a response brings.

        Raises:
            UpstreamError: the response lacks the text.
        """
        ...

    def close(self) -> TextPiece:
        """What was held back (half a character at the very end), when no response is to come."""
        ...
