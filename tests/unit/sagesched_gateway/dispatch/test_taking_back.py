"""`Evict` in dispatch: the engine is really stopped, the caller sees nothing of it, it begins anew later.

The engine here holds 20 tokens in blocks of one; two requests of one prompt token overflow it by growing.
"""

from __future__ import annotations

import pytest
from dispatch_fakes import a_message, ticks, until

from sagesched_gateway.errors import DeadlineError, StoppedError
from sagesched_gateway.request import StopOrderError
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.events import Progressed

GROWING = {
    "slots": 4,
    "policy": "amin",
    "kv_blocks": 20,
    "block_tokens": 1,
    "kv_policy": KvPolicy.MAX_UTILIZATION,
    "headroom": 0.0,
}


def a_whole(prompt: str, **fields):
    return a_message(prompt, prompt_tokens=1, max_tokens=15, streams=False, **fields)


async def overflowing(bench, *messages):
    """Both run, and the first has told of so much progress that they will not fit any longer."""
    b = bench(**GROWING)
    generations = [b.dispatcher.generate(message) for message in messages]
    assert len(b.upstream.started) == len(messages)
    return b, generations


def grow(b, prompt: str, tokens: int) -> None:
    """The core hears of progress as from a stream, which is how a test can tell it."""
    call = b.upstream.call(prompt)
    b.dispatcher._core.post(Progressed(job_id=call.request.upstream_id, output_tokens=tokens))


async def test_a_whole_answer_is_taken_back_and_begun_anew_and_its_caller_gets_it_once(bench):
    b, (first, second) = await overflowing(bench, a_whole("first"), a_whole("second"))
    grow(b, "first", 9)
    grow(b, "second", 8)
    victim = b.upstream.call("second")
    await until(lambda: victim.num_cancels)
    b.upstream.call("first").token(12, final=True)
    await ticks()
    assert b.upstream.started == ["first", "second"], "its place is free only when the engine says so"
    victim.token(8, final=True)  # the part of an answer that the engine gives back
    await ticks()
    snapshot = b.dispatcher.snapshot()
    assert (snapshot.evictions, snapshot.discarded_tokens) == (1, 8)
    again = b.upstream.call("second")
    assert again is not victim
    again.token(10, final=True)
    for generation, tokens in ((first, 12), (second, 10)):
        assert len([response async for response in generation]) == 1
        assert generation.output_tokens == tokens
    assert b.dispatcher.num_live == 0


async def test_a_stream_that_has_begun_is_left_alone_and_the_other_goes(bench):
    stream = a_message("stream", prompt_tokens=1, max_tokens=15)
    b, (streaming, _) = await overflowing(bench, stream, a_whole("whole"))
    b.upstream.call("stream").token()
    await ticks()
    assert await anext(streaming)
    grow(b, "whole", 9)
    grow(b, "stream", 8)
    await until(lambda: b.upstream.call("whole").num_cancels)
    assert b.upstream.call("stream").num_cancels == 0


async def test_what_cannot_be_stopped_in_the_engine_is_left_alone(bench):
    b, _ = await overflowing(bench, a_whole("one", can_be_cancelled=False), a_whole("other"))
    grow(b, "other", 9)
    grow(b, "one", 8)
    await until(lambda: b.upstream.call("other").num_cancels)
    assert b.upstream.call("one").num_cancels == 0


async def test_a_response_handed_over_in_the_very_moment_is_not_taken_back(bench):
    b, (_, second) = await overflowing(bench, a_whole("first"), a_whole("second"))
    call = b.upstream.call("second")
    call.token(8)
    await ticks(2)
    b.dispatcher.evict(call.request.upstream_id)
    await ticks()
    assert call.num_cancels == 0
    call.end()
    assert len([response async for response in second]) == 1


async def taken_back(bench):
    b, generations = await overflowing(bench, a_whole("first"), a_whole("second", id="mine"))
    grow(b, "first", 9)
    grow(b, "second", 8)
    await until(lambda: b.upstream.call("second").num_cancels)
    return b, generations[1]


async def test_a_caller_that_leaves_meanwhile_leaves_nothing_behind(bench):
    b, second = await taken_back(bench)
    await second.aclose()
    b.upstream.call("second").end()
    await ticks()
    b.upstream.call("first").token(9, final=True)
    await ticks()
    assert b.upstream.started == ["first", "second"]
    assert b.dispatcher.num_live == 0


async def test_a_stop_by_its_id_meanwhile_ends_it_as_one_that_waits(bench):
    b, second = await taken_back(bench)
    stop = a_message(id="mine")
    stop.parameters["stop"].bool_param = True
    with pytest.raises(StopOrderError):
        b.dispatcher.generate(stop)
    with pytest.raises(StoppedError):
        await anext(second)
    b.upstream.call("second").end()
    await ticks()
    assert b.upstream.started == ["first", "second"]
    assert b.dispatcher.num_live == 1


async def test_a_deadline_ends_it_wherever_it_is(bench):
    b, second = await taken_back(bench)
    live = next(live for live in b.dispatcher._lives if live.generation is second)
    b.dispatcher._lives.expire(live)
    with pytest.raises(DeadlineError):
        await anext(second)
    b.upstream.call("second").end()
    await ticks()
    assert b.dispatcher.num_live == 1
