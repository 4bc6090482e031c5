"""One stream per request to a Triton over real gRPC: chunks, ends, errors, real cancelling."""

from __future__ import annotations

import asyncio

import pytest
from fake_triton import a_request, until

from sagesched_gateway.errors import InvalidRequestError, UpstreamError, UpstreamUnavailableError
from sagesched_gateway.kserve import FINAL_PARAMETER
from sagesched_gateway.triton import cancel


def read(upstream, message):
    """A request as dispatch gets it."""
    return upstream.read(message, message.SerializeToString(), "up-1", ())


async def run(upstream, message):
    """All chunks of a request."""
    request = upstream.read(message, message.SerializeToString(), "up-1", (("x-trace", "t1"),))
    return [chunk async for chunk in upstream.open(request)]


async def test_tokens_come_one_by_one_and_the_last_is_final(upstream, triton):
    chunks = await run(upstream, a_request("tokens=3"))
    assert [chunk.new_tokens for chunk in chunks] == [1, 1, 1]
    assert [chunk.final for chunk in chunks] == [False, False, True]
    assert all(chunk.response.id == "c1" for chunk in chunks)
    assert chunks[0].input_tokens == 7
    assert triton.requests[0].id == "up-1"


async def test_the_callers_metadata_goes_along_and_errors_are_asked_for_as_status(upstream, triton):
    await run(upstream, a_request())
    assert triton.metadata[0]["x-trace"] == "t1"
    assert triton.metadata[0]["triton_grpc_error"] == "true"


async def test_a_flag_alone_ends_the_request_unseen(upstream):
    chunks = await run(upstream, a_request("flag"))
    assert [chunk.response is not None for chunk in chunks] == [True, False]
    assert chunks[-1].final


async def test_a_whole_answer_counts_its_tokens_without_the_prompt(upstream):
    (chunk,) = await run(upstream, a_request("whole=16", stream=False))
    assert (chunk.new_tokens, chunk.final) == (9, True)
    assert chunk.response.parameters[FINAL_PARAMETER].bool_param


@pytest.mark.parametrize(
    ("prompt", "error", "text"),
    [
        ("fail", UpstreamError, "in ensemble 'ensemble', it failed"),
        ("full", UpstreamUnavailableError, "Maximum queue size of 8"),
        ("busy", UpstreamUnavailableError, "Exceeds maximum queue size"),
    ],
)
async def test_errors_keep_tritons_words(upstream, prompt, error, text):
    (chunk,) = await run(upstream, a_request(prompt))
    assert type(chunk.error) is error
    assert text in chunk.error.message
    assert chunk.final


async def test_a_backends_code_is_kept(upstream):
    (chunk,) = await run(upstream, a_request("fail"))
    assert chunk.error.code == "INTERNAL"
    assert not chunk.error.in_band


async def test_a_stream_that_breaks_after_a_token_says_so(upstream, triton):
    first, last = await run(upstream, a_request("break"))
    assert first.new_tokens == 1
    assert isinstance(last.error, UpstreamUnavailableError)
    assert triton.address in last.error.message


async def test_an_absent_triton_is_named(upstream, triton):
    await triton.stop()
    (chunk,) = await run(upstream, a_request())
    assert isinstance(chunk.error, UpstreamUnavailableError)
    assert f"cannot reach Triton at {triton.address}" in chunk.error.message


async def test_cancel_stops_the_engine_by_id_and_waits_for_its_end(upstream, triton):
    request = read(upstream, a_request("hang"))
    call = upstream.open(request)
    chunks = aiter(call)
    assert (await anext(chunks)).new_tokens == 1
    cancelling = asyncio.create_task(call.cancel())
    last = await anext(chunks)
    assert last.final
    assert last.error is None
    await cancelling
    assert set(triton.stops) == {"up-1"}
    assert "up-1" not in triton.cancelled
    assert [chunk async for chunk in chunks] == []


async def test_a_stop_that_came_too_early_is_sent_again(upstream, triton, monkeypatch):
    monkeypatch.setattr(cancel, "_FIRST_PAUSE_S", 0.001)
    call = upstream.open(read(upstream, a_request("silent")))
    cancelling = asyncio.create_task(call.cancel())  # before the request itself was sent
    chunks = [chunk async for chunk in call]
    await cancelling
    assert chunks[-1].final
    assert len(triton.stops) >= 1


async def test_an_engine_that_does_not_stop_loses_its_stream(upstream, triton, monkeypatch):
    monkeypatch.setattr(cancel, "PATIENCE_S", 0.05)
    monkeypatch.setattr(cancel, "_FIRST_PAUSE_S", 0.01)
    triton.ignores_stop = True
    call = upstream.open(read(upstream, a_request("hang")))
    chunks = aiter(call)
    await anext(chunks)
    cancelling = asyncio.create_task(call.cancel())
    last = await anext(chunks)
    await cancelling
    assert (last.final, last.error.code) == (True, "CANCELLED")


async def test_a_task_that_is_cancelled_takes_its_stream_with_it(upstream, triton):
    call = upstream.open(read(upstream, a_request("hang")))

    async def consume():
        async for _ in call:
            pass

    task = asyncio.create_task(consume())
    await until(lambda: triton.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: "up-1" in triton.cancelled)


async def test_unknown_models_have_no_profile(upstream):
    assert upstream.is_generation("ensemble")
    assert upstream.is_generation("tensorrt_llm")
    assert not upstream.is_generation("adder")
    assert upstream.is_decoupled("ensemble")
    assert not upstream.is_decoupled("whole")
    assert not upstream.is_decoupled("nobody")
    assert upstream.text_outputs("adder") == upstream.text_outputs("nobody") == frozenset()
    with pytest.raises(InvalidRequestError):
        read(upstream, a_request(model="adder"))
    assert not await upstream.resolve("nobody")
    with pytest.raises(UpstreamError, match="nobody"):
        await upstream.metadata("nobody")


async def test_a_model_that_went_away_while_its_request_waited_is_an_error(upstream, catalog, monkeypatch):
    request = read(upstream, a_request())
    monkeypatch.setattr(catalog, "profile", lambda model: None)
    with pytest.raises(UpstreamError, match="no longer served"):
        upstream.open(request)
