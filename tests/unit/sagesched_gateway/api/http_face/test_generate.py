from __future__ import annotations

import asyncio

import aiohttp
import pytest

from sagesched_gateway.api.http_face import generate
from sagesched_gateway.errors import (
    DeadlineError,
    DrainingError,
    InternalError,
    NeverFitsError,
    UpstreamError,
    UpstreamUnavailableError,
)
from sagesched_gateway.request import StopOrderError
from sagesched_gateway.settings.sections.limits import LimitsConfig

GENERATE = "/v2/models/ensemble/generate"
STREAM = "/v2/models/ensemble/generate_stream"
BODY = {"text_input": "hi", "max_tokens": 5}


async def test_generate_returns_one_object(client, dispatcher, respond):
    dispatcher.responses = [respond("hello", request_id="q")]
    async with client.post(GENERATE, json=BODY | {"id": "q"}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["x-sagesched-queue-time"] == "0.250000"
        assert await answer.read() == (
            b'{"id":"q","model_name":"ensemble","model_version":"1","sequence_id":0,"text_output":"hello"}'
        )
    message = dispatcher.messages[0]
    assert (message.model_name, message.model_version, message.id) == ("ensemble", "", "q")
    assert not dispatcher.closed.is_set()


async def test_the_version_in_the_path_is_passed_on(client, dispatcher):
    async with client.post("/v2/models/ensemble/versions/3/generate", json=BODY) as answer:
        assert answer.status == 200
    assert dispatcher.messages[0].model_version == "3"


async def test_trace_context_is_passed_on_and_nothing_else(client, dispatcher):
    headers = {"traceparent": "00-1-2-01", "Authorization": "secret"}
    async with client.post(GENERATE, json=BODY, headers=headers):
        pass
    assert dispatcher.metadata_seen == [(("traceparent", "00-1-2-01"),)]


async def test_generate_stream_sends_an_event_per_response(client, dispatcher, respond):
    dispatcher.responses = [respond("a"), respond("b")]
    async with client.post(STREAM, json=BODY) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["x-sagesched-queue-time"] == "0.250000"
        body = await answer.read()
    prefix = b'data: {"model_name":"ensemble","model_version":"1","sequence_id":0,"text_output":'
    assert body == prefix + b'"a"}\n\n' + prefix + b'"b"}\n\n'


async def test_a_stream_without_responses_is_empty(client, dispatcher):
    dispatcher.responses = []
    dispatcher.queue_s = None
    async with client.post(STREAM, json=BODY) as answer:
        assert answer.status == 200
        assert "x-sagesched-queue-time" not in answer.headers
        assert await answer.read() == b""


@pytest.mark.parametrize("path", [GENERATE, STREAM])
@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (NeverFitsError("too long"), 400, "never-fits"),
        (UpstreamError("no such thing", code="NOT_FOUND"), 404, "upstream-error"),
        (UpstreamError("in ensemble 'e', boom", code="INVALID_ARGUMENT"), 400, "upstream-error"),
        (UpstreamUnavailableError("Triton is away"), 503, "upstream-unavailable"),
        (DeadlineError("too late"), 504, "deadline-exceeded"),
        (InternalError("oops"), 500, "internal"),
    ],
)
async def test_an_error_before_the_first_response_has_a_status(client, dispatcher, path, error, status, word):
    dispatcher.responses = []
    dispatcher.error = error
    async with client.post(path, json=BODY) as answer:
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["x-sagesched-error"] == word
        assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)
        assert await answer.json() == {"error": error.message}


async def test_an_error_after_the_first_response_is_an_event(client, dispatcher, respond):
    dispatcher.responses = [respond("a")]
    dispatcher.error = UpstreamError('later "boom"')
    async with client.post(STREAM, json=BODY) as answer:
        assert answer.status == 200
        events = (await answer.read()).split(b"\n\n")
    assert events[1:] == [b'data: {"error":"later \\"boom\\""}', b""]


@pytest.mark.parametrize("path", [GENERATE, STREAM])
async def test_a_refused_request_has_a_status(client, dispatcher, path):
    dispatcher.refusal = DrainingError("the gateway is shutting down")
    async with client.post(path, json=BODY) as answer:
        assert answer.status == 503
        assert answer.headers["x-sagesched-error"] == "draining"


@pytest.mark.parametrize("path", [GENERATE, STREAM])
async def test_a_body_that_cannot_be_read_is_the_callers_fault(client, dispatcher, path):
    async with client.post(path, data=b"nope") as answer:
        assert answer.status == 400
        assert answer.headers["x-sagesched-error"] == "invalid-request"
        assert "failed to parse the request JSON buffer" in (await answer.json())["error"]
    assert dispatcher.messages == []


async def test_a_compressed_body_is_refused_as_by_triton(client):
    async with client.post(GENERATE, data=b"x", headers={"Content-Encoding": "gzip"}) as answer:
        assert answer.status == 400
        assert await answer.json() == {"error": "Unsupported content-encoding, only 'identity' is supported."}


@pytest.mark.parametrize("options", [{"limits": LimitsConfig(message_bytes=10)}])
async def test_a_body_beyond_the_limit_is_refused(client):
    async with client.post(GENERATE, json=BODY) as answer:
        assert answer.status == 413
        assert answer.headers["x-sagesched-error"] == "too-large"
        assert "larger than 10 bytes" in (await answer.json())["error"]


@pytest.mark.parametrize("number", [0, 2, 3])
async def test_generate_wants_exactly_one_response(client, dispatcher, respond, number):
    dispatcher.responses = [respond("a")] * number
    dispatcher.holds_open = number == 3
    async with client.post(GENERATE, json=BODY) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith(
            "generate expects model to produce exactly 1 response"
        )
    # What still ran is really cancelled.
    assert dispatcher.closed.is_set() == (number == 3)


async def test_a_defect_of_ours_is_told_in_a_word_and_logged(client, dispatcher, caplog):
    dispatcher.metadata = None
    async with client.post(GENERATE, json=BODY) as answer:
        assert answer.status == 500
        assert answer.headers["x-sagesched-error"] == "internal"
        assert "its log has the reason" in (await answer.json())["error"]
    assert "failed to answer POST /v2/models/ensemble/generate" in caplog.text


async def test_a_defect_in_the_middle_of_a_stream_breaks_the_connection(
    client, dispatcher, respond, monkeypatch
):
    dispatcher.responses = [respond("a"), respond("b")]
    bodies = iter([b"{}"])
    monkeypatch.setattr(generate, "response_to_json", lambda response: next(bodies))
    monkeypatch.setattr(generate, "to_bytes", lambda value: value)
    async with client.post(STREAM, json=BODY) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_caller_who_leaves_while_queued_cancels(client, dispatcher):
    dispatcher.responses = []
    dispatcher.holds_open = True
    asking = asyncio.create_task(client.post(GENERATE, json=BODY))
    await asyncio.wait_for(dispatcher.started.wait(), 5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(dispatcher.closed.wait(), 5)


async def test_a_caller_who_leaves_mid_stream_cancels(client, dispatcher, respond):
    dispatcher.responses = [respond("a")]
    dispatcher.holds_open = True
    async with client.post(STREAM, json=BODY) as answer:
        assert (await answer.content.readline()).startswith(b"data: ")
        answer.close()
    await asyncio.wait_for(dispatcher.closed.wait(), 5)


async def test_other_models_are_left_to_triton(client, dispatcher, triton):
    async with client.post("/v2/models/resnet/generate", json=BODY) as answer:
        assert await answer.read() == b"from Triton"
    assert triton.requests[0][1] == "/v2/models/resnet/generate"
    assert dispatcher.messages == []


async def test_a_stop_request_reaches_triton_as_it_is(client, dispatcher, triton):
    dispatcher.refusal = StopOrderError("q")
    async with client.post(STREAM, json=BODY) as answer:
        assert await answer.read() == b"from Triton"
    assert triton.requests[0][:3] == ("POST", STREAM, b'{"text_input": "hi", "max_tokens": 5}')


async def test_other_methods_are_left_to_triton(client, triton):
    triton.status = 405
    async with client.get(GENERATE) as answer:
        assert answer.status == 405
    assert triton.requests[0][0] == "GET"
