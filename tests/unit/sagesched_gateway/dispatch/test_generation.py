"""The caller's side of a request."""

from __future__ import annotations

import asyncio

import pytest

from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.errors import DrainingError
from sagesched_gateway.kserve import ModelInferResponse


def a_generation(listener=None):
    closed = []
    generation = Generation(client_id="c", model="m", close=lambda: closed.append(True), listener=listener)
    return generation, closed


async def test_a_caller_that_is_ahead_waits():
    generation, _ = a_generation()
    reading = asyncio.create_task(anext(generation))
    await asyncio.sleep(0)
    assert not reading.done()
    generation.respond(ModelInferResponse(id="1"))
    assert (await reading).id == "1"


async def test_a_caller_that_is_behind_misses_nothing():
    generation, _ = a_generation()
    for number in range(3):
        generation.respond(ModelInferResponse(id=str(number)))
    generation.end()
    assert [response.id async for response in generation] == ["0", "1", "2"]


async def test_the_error_comes_after_the_responses_and_every_time():
    generation, _ = a_generation()
    generation.respond(ModelInferResponse(id="1"))
    generation.end(DrainingError("bye"))
    assert await anext(generation)
    for _ in range(2):
        with pytest.raises(DrainingError):
            await anext(generation)


async def test_after_the_end_nothing_is_taken_and_nothing_is_closed():
    generation, closed = a_generation()
    generation.end()
    generation.respond(ModelInferResponse(id="late"))
    generation.end(DrainingError("late"))
    await generation.aclose()
    assert [response async for response in generation] == []
    assert closed == []


async def test_closing_tells_dispatch():
    generation, closed = a_generation()
    await generation.aclose()
    assert closed == [True]


async def test_a_listener_gets_everything_instead():
    heard = []

    class Listener:
        def responded(self, generation, response):
            heard.append(response.id)

        def ended(self, generation, error):
            heard.append(error)

    generation, _ = a_generation(Listener())
    generation.respond(ModelInferResponse(id="1"))
    generation.end()
    assert heard == ["1", None]
