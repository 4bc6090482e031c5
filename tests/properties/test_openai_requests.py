"""Whatever a body holds: it becomes a request within its bounds, or is refused by name."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_gateway.api.openai.chat_request import NOT_SERVED as NOT_IN_CHATS
from sagesched_gateway.api.openai.chat_request import ChatRequest, read_chat
from sagesched_gateway.api.openai.completion_request import CompletionRequest, read_completion
from sagesched_gateway.api.openai.fields import Fields
from sagesched_gateway.api.openai.sampling import NOT_SERVED
from sagesched_gateway.errors import InvalidRequestError

SERVED = (
    "prompt",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "logprobs",
    "top_logprobs",
    "response_format",
    "best_of",
    "echo",
    "suffix",
)
INNER = ("role", "content", "type", "text", "json_schema", "schema", "include_usage", "name", "tool_calls")

words = st.sampled_from(("user", "assistant", "text", "json_schema", "json_object")) | st.text(max_size=5)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.just("\ud800") | st.integers(-3, 3)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(INNER) | words, inner),
    max_leaves=12,
)
messages = st.lists(
    st.fixed_dictionaries({"role": words, "content": st.text(max_size=5)}) | values, max_size=3
)
names = st.sampled_from((*SERVED, *NOT_SERVED, *NOT_IN_CHATS))
bodies = st.dictionaries(names, values, max_size=4)


@settings(max_examples=200, deadline=None)
@given(bodies, messages | values, st.sampled_from((read_chat, read_completion)))
def test_a_request_is_read_within_bounds_or_refused_by_name(body: dict[str, Any], said: Any, read: Any):
    whole = {"model": "m", "prompt": said, "messages": said} | body
    try:
        asked = read(Fields(whole), default_max_tokens=5)
    except InvalidRequestError as error:
        field = error.field
    else:
        check_bounds(asked)
        return
    assert field is not None
    assert field.split(".")[0].split("[")[0] in whole


def check_bounds(asked: ChatRequest | CompletionRequest) -> None:
    sampling = asked.sampling
    assert 1 <= sampling.max_tokens < 2**31
    assert 1 <= sampling.n <= 128
    assert len(sampling.stop) <= 4
    assert sampling.temperature is None or 0 <= sampling.temperature <= 2
    assert sampling.top_p is None or 0 <= sampling.top_p <= 1
    if sampling.json_schema is not None:
        assert isinstance(json.loads(sampling.json_schema), dict)
    texts = asked.prompts if hasattr(asked, "prompts") else [message["content"] for message in asked.messages]
    assert texts
    for text in (*texts, *sampling.stop):
        text.encode()
