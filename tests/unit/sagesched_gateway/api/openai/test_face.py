"""The face over HTTP: answers and streams, errors before and after the first byte, callers who leave."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from sagesched_gateway.errors import (
    DeadlineError,
    DrainingError,
    UpstreamError,
    UpstreamUnavailableError,
)
from sagesched_gateway.request import NO_ATTRIBUTES, Attributes, Conversation
from sagesched_gateway.settings.sections.openai import OpenAIConfig

CHAT = {"model": "ensemble", "messages": [{"role": "user", "content": "Hi"}]}
COMPLETION = {"model": "ensemble", "prompt": "Hi"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


async def test_a_completion(face, dispatcher):
    answer, body = await face.complete(max_tokens=7)
    assert answer.status == 200
    assert answer.headers["x-sagesched-queue-time"] == "0.250000"
    assert body.pop("id").startswith("cmpl-")
    assert body.pop("created") > 0
    choice = {"index": 0, "text": "Hello", "logprobs": None, "finish_reason": "stop"}
    assert body == {
        "object": "text_completion",
        "model": "ensemble",
        "system_fingerprint": None,
        "choices": [choice],
        "usage": USAGE,
    }
    (asked,) = dispatcher.asked
    assert asked[:2] == ("ensemble", "Hi")
    assert dispatcher.messages[0].id == answer.headers["x-request-id"]


async def test_a_chat(face, dispatcher):
    answer, body = await face.chat()
    assert answer.status == 200
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    message = {"role": "assistant", "content": "Hello", "refusal": None}
    assert body["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"] == USAGE
    assert dispatcher.asked[0][1] == "<user>Hi<assistant>"
    assert dispatcher.conversations == [Conversation(text="Hi")]


async def test_a_chat_stream(face):
    answer, events = await face.events("chat/completions", CHAT)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["x-request-id"].startswith("req-")
    assert events.pop() == "[DONE]"
    assert len({event["id"] for event in events}) == 1
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert all("usage" not in event for event in events)
    (choices,) = zip(*(event["choices"] for event in events), strict=True)
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "stop"]


async def test_a_completion_stream_with_usage(face):
    body = COMPLETION | {"stream_options": {"include_usage": True}}
    _, events = await face.events("completions", body)
    assert events.pop() == "[DONE]"
    last = events.pop()
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert [event["usage"] for event in events] == [None] * 3
    texts = [(event["choices"][0]["text"], event["choices"][0]["finish_reason"]) for event in events]
    assert texts == [("Hel", None), ("lo", None), ("", "stop")]


@pytest.mark.parametrize(
    ("more", "max_tokens", "reason"),
    [
        ({"output": 1}, 2, "length"),
        ({"output": 1}, 3, "stop"),
        ({"output": 1, "reason": "stop"}, 2, "stop"),
        ({"output": 1, "reason": "length"}, 9, "length"),
    ],
)
async def test_the_reason_is_the_models_else_by_the_cap(face, dispatcher, a_piece, more, max_tokens, reason):
    dispatcher.pieces = [a_piece("a", output=1), a_piece("b", **more)]
    _, body = await face.complete(max_tokens=max_tokens)
    assert body["choices"][0]["finish_reason"] == reason


async def test_tokens_are_counted_here_where_the_engine_tells_none(face, dispatcher, a_piece):
    dispatcher.pieces = [a_piece("eight ch"), a_piece("aracters")]
    _, body = await face.complete(prompt="12345678")
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize("ask", ["complete", "chat"])
async def test_a_long_prompt_is_served(face, dispatcher, ask):
    long = "x" * 50_000
    if ask == "chat":
        answer, _ = await face.chat({"role": "user", "content": long})
    else:
        answer, _ = await face.complete(prompt=long)
    assert answer.status == 200
    assert long in dispatcher.asked[0][1]


async def test_an_empty_answer(face, dispatcher):
    dispatcher.pieces = []
    _, body = await face.complete()
    assert body["choices"][0]["text"] == ""
    assert body["usage"]["completion_tokens"] == 0
    _, events = await face.events("completions", COMPLETION)
    assert [event["choices"][0]["text"] for event in events[:-1]] == [""]


async def test_what_was_held_back_comes_at_the_end(face, dispatcher, a_piece):
    dispatcher.pieces = [a_piece("a"), a_piece("...")]
    _, body = await face.complete()
    assert body["choices"][0]["text"] == "a..."
    _, events = await face.events("completions", COMPLETION)
    assert [event["choices"][0]["text"] for event in events[:-1]] == ["a", "...", ""]


async def test_several_prompts_are_several_choices(face, dispatcher):
    _, body = await face.complete(prompt=["a", "b", "c"])
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"] == {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}
    assert [prompt for _, prompt, _ in dispatcher.asked] == ["a", "b", "c"]


async def test_several_prompts_stream_side_by_side(face, dispatcher):
    dispatcher.holds_open = True
    asking = asyncio.create_task(face.events("completions", COMPLETION | {"prompt": ["a", "b"]}))
    await dispatcher.have_started(2)
    for generation in reversed(dispatcher.generations):
        generation.end()
    _, events = await asking
    assert events.pop() == "[DONE]"
    choices = [event["choices"][0] for event in events]
    for index in (0, 1):
        mine = [choice for choice in choices if choice["index"] == index]
        assert "".join(choice["text"] for choice in mine) == "Hello"
        assert [choice["finish_reason"] for choice in mine] == [None, None, "stop"]


async def test_one_bad_end_ends_all(face, dispatcher):
    dispatcher.holds_open = True
    asking = asyncio.create_task(face.complete(prompt=["a", "b"]))
    await dispatcher.have_started(2)
    dispatcher.generations[1].end(UpstreamUnavailableError("gone"))
    answer, body = await asking
    assert (answer.status, body["error"]["code"]) == (503, "upstream-unavailable")
    assert dispatcher.num_closed == 1


async def test_models(face):
    async with face.client.get("/v1/models") as answer:
        listed = await answer.json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["ensemble", "other"]
    async with face.client.get("/v1/models/other") as answer:
        assert await answer.json() == listed["data"][1]
    for name in ("none", "a/b", "%ff", "%ed%a0%80"):
        async with face.client.get(URL(f"/v1/models/{name}", encoded=True)) as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["code"] == "model_not_found"


async def test_a_model_that_came_later_is_found(face, dispatcher):
    dispatcher.later = ("new",)
    assert (await face.complete(model="new"))[0].status == 200
    answer, body = await face.complete(model="nothing")
    assert (answer.status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")


class TestServedNames:
    @pytest.fixture(
        params=[
            (OpenAIConfig(served_name="llama"), "ensemble"),
            (OpenAIConfig(served_name="llama", model="other"), "other"),
            (OpenAIConfig(model="other"), "other"),
        ]
    )
    def named(self, request):
        return request.param

    @pytest.fixture
    def config(self, named):
        return named[0]

    async def test_one_name_stands_for_one_model(self, face, dispatcher, named):
        name = named[0].served_name or "other"
        _, body = await face.complete(model=name)
        assert body["model"] == name
        assert dispatcher.asked[0][0] == named[1]
        assert (await face.complete(model="ensemble"))[0].status == 404
        async with face.client.get("/v1/models") as answer:
            assert [model["id"] for model in (await answer.json())["data"]] == [name]

    async def test_there_may_be_no_model_yet(self, face, dispatcher, named):
        dispatcher.models = ()
        async with face.client.get("/v1/models") as answer:
            assert (await answer.json())["data"] == []
        answer, _ = await face.complete(model=named[0].served_name or "other")
        assert answer.status in (404, 503)


class TestWithoutTemplate:
    @pytest.fixture
    def template(self):
        return None

    async def test_chats_are_refused_with_the_setting_to_make(self, face):
        answer, body = await face.chat()
        assert answer.status == 400
        assert "openai.chatTemplate" in body["error"]["message"]
        assert (await face.complete())[0].status == 200


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"temperature": 9}, "temperature", "invalid-request"),
        ({"n": 2}, "n", "unsupported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported"),
    ],
)
async def test_a_refusal_names_the_field(face, fields, param, code):
    answer, body = await face.chat(**fields)
    assert answer.status == 400
    assert answer.headers["x-sagesched-error"] == code
    assert body["error"]["type"] == "invalid_request_error"
    assert (body["error"]["param"], body["error"]["code"]) == (param, code)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff", 400), (b"[1]", 400), (b"[" * 5000, 400), (b'{"a":' * 9 + b"1" + b"}" * 9, 400)],
)
async def test_a_body_that_cannot_be_read(face, body, status):
    answer, told = await face.post("completions", body)
    assert answer.status == status
    assert told["error"]["type"] == "invalid_request_error"


async def test_a_body_that_is_too_large(face):
    answer, body = await face.complete(prompt="x" * 200_000)
    assert (answer.status, body["error"]["code"]) == (413, "too-large")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "nothing", 404), ("GET", "completions", 405)])
async def test_wrong_paths_and_methods_are_told_in_the_same_shape(face, method, path, status):
    async with face.client.request(method, f"/v1/{path}") as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_before_the_first_token_has_a_status(face, dispatcher, stream):
    dispatcher.pieces, dispatcher.error = [], UpstreamError("boom", code="INTERNAL")
    answer, body = await face.complete(stream=stream)
    assert answer.status == 500
    assert answer.headers["x-should-retry"] == "false"
    assert body["error"] == {
        "message": "boom",
        "type": "server_error",
        "param": None,
        "code": "upstream-error",
    }


async def test_a_refusal_that_may_pass_says_when(face, dispatcher):
    dispatcher.refusal = DrainingError("bye")
    answer, body = await face.chat()
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert "x-should-retry" not in answer.headers
    assert body["error"]["type"] == "service_unavailable"


async def test_an_error_after_the_first_token_is_the_last_event(face, dispatcher):
    dispatcher.error = DeadlineError("too late")
    answer, events = await face.events("chat/completions", CHAT)
    assert answer.status == 200
    assert events[-1] == {
        "error": {"message": "too late", "type": "server_error", "param": None, "code": "deadline-exceeded"}
    }
    assert "[DONE]" not in events
    assert all(event["choices"][0]["finish_reason"] is None for event in events[:-1])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_without_text_is_an_error(face, dispatcher, a_piece, stream):
    dispatcher.pieces = [a_piece(None)]
    answer, body = await face.complete(stream=stream)
    assert (answer.status, body["error"]["code"]) == (500, "upstream-error")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_leaves_cancels_the_request(face, dispatcher, stream):
    dispatcher.holds_open = True
    asking = asyncio.create_task(face.complete(stream=stream))
    await dispatcher.have_started(1)
    asking.cancel()
    async with asyncio.timeout(10):
        await dispatcher.closed.wait()


@pytest.mark.parametrize(
    ("given", "is_kept"), [("mine-1", True), ("x" * 128, True), ("x" * 129, False), ("two words", False)]
)
async def test_a_request_id_is_kept_where_it_is_sensible(face, given, is_kept):
    answer, _ = await face.post("completions", COMPLETION, **{"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is is_kept
    answer, _ = await face.post("completions", {}, **{"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is is_kept


async def test_attributes_come_in_headers(face, dispatcher):
    await face.complete()
    headers = {"x-sagesched-tenant": "a", "x-sagesched-priority": "3", "x-sagesched-deadline": "5"}
    await face.post("completions", COMPLETION, **headers)
    assert dispatcher.attributes == [NO_ATTRIBUTES, Attributes(tenant="a", priority=3, deadline_s=5.0)]
    answer, body = await face.post("completions", COMPLETION, **{"x-sagesched-priority": "much"})
    assert (answer.status, body["error"]["code"]) == (400, "invalid-request")
