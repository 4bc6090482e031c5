"""The objects that OpenAI clients read: whole answers, chunks of a stream, lists of models. Pure.

Completions and chats differ only here; a `Shape` is one of the two.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from sagesched_gateway.api.json_form.tensors import Json
from sagesched_gateway.api.openai.answer import Usage

Object = dict[str, Json]
OWNER = "sagesched"


class Shape(Protocol):
    """How one endpoint writes.

    Attributes:
        prefix: of the answer's id.
    """

    prefix: ClassVar[str]
    whole_name: ClassVar[str]
    chunk_name: ClassVar[str]

    def choice(self, index: int, text: str, reason: str) -> Object:
        """A finished answer."""
        ...

    def opening(self, index: int) -> Object | None:
        """What a stream begins with, before any text."""
        ...

    def delta(self, index: int, text: str) -> Object:
        """New text in a stream."""
        ...

    def closing(self, index: int, reason: str) -> Object:
        """The end of one answer in a stream."""
        ...


class CompletionShape:
    """`POST /v1/completions`."""

    prefix: ClassVar[str] = "cmpl-"
    whole_name: ClassVar[str] = "text_completion"
    chunk_name: ClassVar[str] = "text_completion"

    def choice(self, index: int, text: str, reason: str) -> Object:
        """See `Shape.choice`."""
        return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}

    def opening(self, index: int) -> Object | None:
        """See `Shape.opening`."""
        return None

    def delta(self, index: int, text: str) -> Object:
        """See `Shape.delta`."""
        return {"index": index, "text": text, "logprobs": None, "finish_reason": None}

    def closing(self, index: int, reason: str) -> Object:
        """See `Shape.closing`."""
        return {"index": index, "text": "", "logprobs": None, "finish_reason": reason}


class ChatShape:
    """`POST /v1/chat/completions`."""

    prefix: ClassVar[str] = "chatcmpl-"
    whole_name: ClassVar[str] = "chat.completion"
    chunk_name: ClassVar[str] = "chat.completion.chunk"

    def choice(self, index: int, text: str, reason: str) -> Object:
        """See `Shape.choice`."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}

    def opening(self, index: int) -> Object | None:
        """See `Shape.opening`."""
        return self._chunk(index, {"role": "assistant", "content": ""}, None)

    def delta(self, index: int, text: str) -> Object:
        """See `Shape.delta`."""
        return self._chunk(index, {"content": text}, None)

    def closing(self, index: int, reason: str) -> Object:
        """See `Shape.closing`."""
        return self._chunk(index, {}, reason)

    def _chunk(self, index: int, delta: Object, reason: str | None) -> Object:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


class AnswerObjects:
    """The objects of one answer: all share id, time and model."""

    def __init__(
        self, shape: Shape, *, answer_id: str, created_unix_s: int, model: str, include_usage: bool = False
    ) -> None:
        """Take what they share; `include_usage` is for chunks only."""
        self._whole: Object = _head(shape.prefix + answer_id, shape.whole_name, created_unix_s, model)
        self._chunk: Object = _head(shape.prefix + answer_id, shape.chunk_name, created_unix_s, model)
        self._include_usage = include_usage

    def whole(self, choices: list[Object], usage: Usage) -> Object:
        """The answer in one."""
        return self._whole | {"choices": choices, "usage": usage_object(usage)}

    def chunk(self, choice: Object) -> Object:
        """One event of a stream."""
        chunk = self._chunk | {"choices": [choice]}
        return chunk | {"usage": None} if self._include_usage else chunk

    def usage_chunk(self, usage: Usage) -> Object:
        """The last event of a stream that is to tell the token counts."""
        return self._chunk | {"choices": [], "usage": usage_object(usage)}


def usage_object(usage: Usage) -> Object:
    """Token counts."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def model_object(name: str, created_unix_s: int) -> Object:
    """One model."""
    return {"id": name, "object": "model", "created": created_unix_s, "owned_by": OWNER}


def model_list(names: list[str], created_unix_s: int) -> Object:
    """All models."""
    return {"object": "list", "data": [model_object(name, created_unix_s) for name in names]}


def _head(answer_id: str, name: str, created_unix_s: int, model: str) -> Object:
    return {
        "id": answer_id,
        "object": name,
        "created": created_unix_s,
        "model": model,
        "system_fingerprint": None,
    }
