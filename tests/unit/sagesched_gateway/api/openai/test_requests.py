"""What is read of a request, and what is refused with the name of the field."""

from __future__ import annotations

import json

import pytest

from sagesched_gateway.api.openai.chat_request import MOST_MESSAGES, ChatRequest, read_chat
from sagesched_gateway.api.openai.completion_request import (
    MOST_PROMPTS,
    CompletionRequest,
    read_completion,
)
from sagesched_gateway.api.openai.fields import Fields
from sagesched_gateway.errors import InvalidRequestError, UnsupportedError


def completion(**fields: object) -> CompletionRequest:
    return read_completion(Fields({"model": "m", "prompt": "Hi"} | fields), default_max_tokens=77)


def chat(*messages: object, **fields: object) -> ChatRequest:
    said = list(messages) or [{"role": "user", "content": "Hi"}]
    return read_chat(Fields({"model": "m", "messages": said} | fields), default_max_tokens=77)


@pytest.mark.parametrize("read", [completion, chat])
def test_what_is_not_said_is_left_to_the_model(read):
    sampling = read().sampling
    assert sampling.max_tokens == 77
    assert (sampling.n, sampling.logprobs, sampling.stop, sampling.stream) == (1, False, (), False)
    knobs = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "json_schema")
    assert [getattr(sampling, name) for name in knobs] == [None] * len(knobs)


@pytest.mark.parametrize("read", [completion, chat])
def test_all_knobs_are_read(read):
    asked = read(
        max_tokens=9,
        stream=True,
        stream_options={"include_usage": True},
        temperature=0,
        top_p=0.5,
        top_k=40,
        stop=["a", "b"],
        seed=-7,
        presence_penalty=-2,
        frequency_penalty=1.5,
        n=2,
        user="someone",
        a_field_of_tomorrow={"x": 1},
    )
    sampling = asked.sampling
    assert asked.include_usage
    assert (sampling.max_tokens, sampling.stream, sampling.temperature) == (9, True, 0.0)
    assert (sampling.top_p, sampling.top_k, sampling.stop, sampling.seed) == (0.5, 40, ("a", "b"), -7)
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.n) == (-2.0, 1.5, 2)


def test_a_chat_may_name_its_cap_in_two_ways():
    assert chat(max_completion_tokens=5).sampling.max_tokens == 5
    assert chat(max_completion_tokens=5, max_tokens=9).sampling.max_tokens == 5
    assert chat(max_tokens=9).sampling.max_tokens == 9


def test_stop_may_be_one_string():
    assert completion(stop="\n").sampling.stop == ("\n",)


@pytest.mark.parametrize("off", [0, -1])
def test_top_k_may_be_off(off):
    assert completion(top_k=off).sampling.top_k is None


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"a": "é"}}}, {"a": "é"}),
    ],
)
def test_a_response_format_becomes_a_schema(wanted, schema):
    text = chat(response_format=wanted).sampling.json_schema
    assert (None if text is None else json.loads(text)) == schema


def test_logprobs_are_a_number_or_a_flag():
    assert completion(logprobs=0).sampling.logprobs
    assert chat(logprobs=True, top_logprobs=3).sampling.logprobs
    assert not chat(logprobs=False, top_logprobs=0).sampling.logprobs


@pytest.mark.parametrize("read", [completion, chat])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", None),
        ("model", 3),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("max_tokens", 2**31),
        ("stream", "yes"),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("temperature", "warm"),
        ("top_p", -0.1),
        ("top_k", -2),
        ("seed", 2**63),
        ("presence_penalty", 3),
        ("frequency_penalty", "x"),
        ("n", 0),
        ("n", 129),
        ("stop", ["a"] * 5),
        ("stop", [""]),
        ("stop", 7),
        ("stop", ["\ud800"]),
        ("stream_options", {"include_usage": True}),  # without a stream
        ("response_format", "json"),
        ("response_format.type", {"type": "yaml"}),
        ("response_format.json_schema", {"type": "json_schema"}),
        ("response_format.json_schema.schema", {"type": "json_schema", "json_schema": {}}),
    ],
)
def test_a_wrong_value_is_refused_by_name(read, field, value):
    with pytest.raises(InvalidRequestError) as caught:
        read(**{field.split(".")[0]: value})
    assert caught.value.field == field
    assert field in caught.value.message


@pytest.mark.parametrize("read", [completion, chat])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", {"50256": -100}),
        ("store", True),
        ("service_tier", "priority"),
        ("min_p", 0.1),
        ("ignore_eos", True),
        ("repetition_penalty", 1.2),
        ("guided_json", {"type": "object"}),
    ],
)
def test_what_is_known_but_not_served_is_refused(read, field, value):
    with pytest.raises(UnsupportedError) as caught:
        read(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function"}]),
        ("tool_choice", "required"),
        ("functions", [{}]),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "x"}),
        ("reasoning_effort", "high"),
        ("chat_template_kwargs", {"enable_thinking": False}),
        ("add_generation_prompt", False),
    ],
)
def test_what_chats_know_but_is_not_served_is_refused(field, value):
    with pytest.raises(UnsupportedError) as caught:
        chat(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(("field", "value"), [("suffix", "x"), ("echo", True), ("best_of", 3)])
def test_what_completions_know_but_is_not_served_is_refused(field, value):
    with pytest.raises(UnsupportedError) as caught:
        completion(**{field: value})
    assert caught.value.field == field


def test_what_asks_for_nothing_passes():
    chat(
        tools=[],
        tool_choice="auto",
        functions=None,
        logit_bias={},
        store=False,
        service_tier="auto",
        modalities=["text"],
        audio=None,
        parallel_tool_calls=True,
        response_format=None,
        stream_options=None,
        stop=None,
        seed=None,
        n=None,
    )
    completion(suffix="", echo=False, best_of=1, logprobs=None, min_p=0.0, repetition_penalty=1)


def test_prompts_are_one_or_several():
    assert completion(prompt="Hi").prompts == ("Hi",)
    assert completion(prompt=["Hi", "Ho"]).prompts == ("Hi", "Ho")


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_are_refused_clearly(tokens):
    with pytest.raises(UnsupportedError, match="token ids"):
        completion(prompt=tokens)


@pytest.mark.parametrize("prompt", [None, 5, [], [True], ["a", None], ["x"] * (MOST_PROMPTS + 1), "\udc80"])
def test_a_wrong_prompt_is_refused(prompt):
    with pytest.raises(InvalidRequestError) as caught:
        completion(prompt=prompt)
    assert caught.value.field is not None
    assert caught.value.field.startswith("prompt")


def test_messages_are_read():
    asked = chat(
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c", "name": "helper", "tool_calls": None, "refusal": None},
    )
    assert asked.messages == (
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": "c", "name": "helper"},
    )


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("hello", "messages[0]"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": "king", "content": "x"}, "messages[0].role"),
        ({"role": "tool", "content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": ["x"]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].type"),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, "messages[0].tool_calls"),
    ],
)
def test_a_wrong_message_is_refused_by_place(message, field):
    with pytest.raises(InvalidRequestError) as caught:
        chat(message)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "messages", [None, [], "hello", [{"role": "user", "content": ""}] * (MOST_MESSAGES + 1)]
)
def test_wrong_messages_are_refused(messages):
    with pytest.raises(InvalidRequestError) as caught:
        chat(messages=messages)
    assert caught.value.field == "messages"


@pytest.mark.parametrize("body", [[], "x", 3, None])
def test_the_body_is_an_object(body):
    with pytest.raises(InvalidRequestError, match="must be a JSON object"):
        Fields(body)
