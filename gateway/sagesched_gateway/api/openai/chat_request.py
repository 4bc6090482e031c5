"""`POST /v1/chat/completions`: from its body to what is asked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sagesched_gateway.api.json_form.tensors import Json
from sagesched_gateway.api.openai.fields import Fields
from sagesched_gateway.api.openai.sampling import MOST_TOKENS, read_sampling, wants_usage
from sagesched_gateway.request import Conversation
from sagesched_gateway.text import Sampling

MOST_MESSAGES = 4096
"""Templates walk through the messages, some of them more than once."""

ROLES = ("system", "developer", "user", "assistant")
_INSTRUCTING = ("system", "developer")
_MOST_LOGPROBS = 20

NOT_SERVED: dict[str, Sequence[Json]] = {
    # OpenAI's
    "tools": (),
    "tool_choice": ("none", "auto"),
    "functions": (),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    # other servers'
    "chat_template": (),
    "chat_template_kwargs": (),
    "documents": (),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "echo": (False,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request, checked.

    Attributes:
        model: as the caller names it.
        messages: for the chat template: `role`, `content` (text) and, where given, `name`.
        sampling: of the answer.
        include_usage: end a stream with the token counts.
    """

    model: str
    messages: tuple[dict[str, str], ...]
    sampling: Sampling
    include_usage: bool


def conversation_of(messages: Sequence[dict[str, str]]) -> Conversation:
    """What a chat says apart from what its template adds."""
    told = [message["content"] for message in messages if message["role"] in _INSTRUCTING]
    said = [message["content"] for message in messages if message["role"] not in _INSTRUCTING]
    return Conversation(system_prompt="\n".join(told), text="\n".join(said))


def read_chat(fields: Fields, *, default_max_tokens: int) -> ChatRequest:
    """Read a request.

    Raises:
        InvalidRequestError: a field has a wrong type or is out of range.
        UnsupportedError: a field asks for what is not served.
    """
    fields.refuse_unless_idle(NOT_SERVED)
    max_tokens = fields.whole("max_tokens", 1, MOST_TOKENS)
    return ChatRequest(
        model=fields.text("model"),
        messages=_messages(fields),
        sampling=read_sampling(
            fields,
            max_tokens=fields.whole("max_completion_tokens", 1, MOST_TOKENS)
            or max_tokens
            or default_max_tokens,
            logprobs=_logprobs(fields),
        ),
        include_usage=wants_usage(fields),
    )


def _logprobs(fields: Fields) -> bool:
    is_wanted = fields.flag("logprobs")
    if fields.whole("top_logprobs", 0, _MOST_LOGPROBS) and not is_wanted:
        raise fields.refused("top_logprobs", "may only be given together with 'logprobs': true")
    return is_wanted


def _messages(fields: Fields) -> tuple[dict[str, str], ...]:
    raw = fields.get("messages")
    if not isinstance(raw, list) or not raw:
        raise fields.refused("messages", "must be a list of at least one message")
    if len(raw) > MOST_MESSAGES:
        raise fields.refused("messages", f"may hold {MOST_MESSAGES} messages at most, not {len(raw)}")
    return tuple(_message(Fields(item, f"messages[{place}]")) for place, item in enumerate(raw))


def _message(fields: Fields) -> dict[str, str]:
    role = fields.text("role")
    if role in ("tool", "function"):
        raise fields.unsupported("role", f"'{role}' is not served here: there are no tools")
    if role not in ROLES:
        raise fields.refused("role", f"must be one of {', '.join(ROLES)}")
    fields.refuse_unless_idle({"tool_calls": (), "function_call": (), "audio": ()})
    message = {"role": role, "content": _content(fields)}
    name = fields.optional_text("name")
    return message if name is None else message | {"name": name}


def _content(fields: Fields) -> str:
    raw = fields.get("content")
    if not isinstance(raw, list):
        return fields.text("content")
    texts = []
    for place, item in enumerate(raw):
        part = Fields(item, fields.path(f"content[{place}]"))
        kind = part.text("type")
        if kind != "text":
            raise part.unsupported("type", f"'{kind}' is not served here, only text")
        texts.append(part.text("text"))
    return "\n".join(texts)
