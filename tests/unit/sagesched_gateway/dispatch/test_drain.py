"""Drain: nothing new, everything that is here is finished, within a limit."""

from __future__ import annotations

import asyncio

import pytest
from dispatch_fakes import a_message, ticks

from sagesched_gateway.errors import DrainingError


async def test_new_requests_are_refused_and_the_rest_is_finished(bench):
    b = bench(slots=1)
    running = b.dispatcher.generate(a_message("running"))
    waiting = b.dispatcher.generate(a_message("waiting"))
    drain = asyncio.create_task(b.dispatcher.drain(60.0))
    await ticks()
    with pytest.raises(DrainingError):
        b.dispatcher.generate(a_message("new"))
    assert b.dispatcher.snapshot().draining
    b.upstream.call("running").token(final=True)
    await ticks()
    assert not drain.done()
    b.upstream.call("waiting").token(final=True)
    await drain
    for generation in (running, waiting):
        assert len([response async for response in generation]) == 1


async def test_an_empty_gateway_drains_at_once(bench):
    await bench().dispatcher.drain(60.0)


async def test_what_is_not_finished_in_time_is_ended_and_stopped_in_the_engine(bench):
    b = bench(slots=1)
    running = b.dispatcher.generate(a_message("running"))
    waiting = b.dispatcher.generate(a_message("waiting"))
    b.upstream.call("running").ends_when_cancelled = True
    await b.dispatcher.drain(0.01)
    for generation in (running, waiting):
        with pytest.raises(DrainingError):
            await anext(generation)
    assert b.upstream.call("running").num_cancels == 1
    assert b.upstream.started == ["running"]
    assert b.dispatcher.num_live == 0
