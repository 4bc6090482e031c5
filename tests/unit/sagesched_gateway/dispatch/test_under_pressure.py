"""What dispatch tells the core of a request, so that it can be judged, and what it does about refusals."""

from __future__ import annotations

import asyncio

import pytest
from dispatch_fakes import a_message, ticks

from sagesched_gateway.errors import DeadlineUnreachableError, DrainingError, OverloadedError
from sagesched_gateway.request import Attributes
from sagesched_gateway.scheduling.settings import (
    DeadlineSettings,
    OverloadSettings,
    PressureSettings,
    TenantSettings,
)

DOOR = PressureSettings(deadlines=DeadlineSettings(refuse_below=0.9, drop_below=0.0))
HURRY = Attributes(deadline_s=5.0)


def id_of(b, prompt: str) -> str:
    return next(id for id, features in b.predictor.asked.items() if features.prompt == prompt)


async def test_a_deadline_is_judged_when_the_prediction_is_there(bench):
    b = bench(pressure=DOOR)
    b.dispatcher.generate(a_message("running"))
    waiting = b.dispatcher.generate(a_message("waiting", max_tokens=10_000), attributes=HURRY)
    assert not waiting.is_ended
    b.predictor.answer("waiting", 9_000.0)
    with pytest.raises(DeadlineUnreachableError) as caught:
        await anext(waiting)
    assert caught.value.probability == pytest.approx(0.0, abs=0.1)
    assert b.dispatcher.snapshot().counters["rejected"] == 1


async def test_a_deadline_is_judged_also_where_no_prediction_comes(bench):
    b = bench(pressure=DOOR)
    b.dispatcher.generate(a_message("running"))
    waiting = b.dispatcher.generate(a_message("waiting", max_tokens=10**6), attributes=HURRY)
    assert not waiting.is_ended
    b.predictor.listener.prediction_failed(id_of(b, "waiting"), "timeout")
    with pytest.raises(DeadlineUnreachableError):
        await anext(waiting)
    assert b.telemetry.failures == ["timeout"]


async def test_without_a_predictor_a_deadline_is_judged_at_once(bench):
    b = bench(pressure=DOOR)
    b.predictor.is_on = False
    b.dispatcher.generate(a_message("running"))
    waiting = b.dispatcher.generate(a_message("waiting", max_tokens=10**6), attributes=HURRY)
    assert waiting.is_ended


async def test_a_limit_in_seconds_takes_the_configured_code_and_says_when_to_come_again(bench):
    b = bench()
    b.dispatcher.use_pressure(PressureSettings(overload=OverloadSettings(max_backlog_s=1.0)))
    b.dispatcher.generate(a_message("running"))
    first, second = (b.dispatcher.generate(a_message(prompt, max_tokens=10_000)) for prompt in ("a", "b"))
    b.predictor.answer("a", 10.0)
    b.predictor.answer("b", 8_000.0)
    with pytest.raises(OverloadedError) as caught:
        await anext(second)
    assert caught.value.retry_after_s > 1.0
    assert not first.is_ended


async def test_tenants_are_told_to_the_core_and_change_while_running(bench):
    b = bench()
    b.dispatcher.generate(a_message("running"))
    for number in range(3):
        b.dispatcher.generate(a_message(f"a{number}"), attributes=Attributes(tenant="a"))
    b.dispatcher.generate(a_message("b"), attributes=Attributes(tenant="b"))
    b.dispatcher.generate(a_message("first"), attributes=Attributes(tenant="a", priority=1))
    b.dispatcher.use_pressure(PressureSettings(tenants=TenantSettings()))
    for prompt in ("running", "first", "a0"):
        b.upstream.call(prompt).token(final=True)
        await ticks()
    assert b.upstream.started == ["running", "first", "a0", "b"]
    (waiting,) = b.dispatcher.snapshot().tenants
    assert (waiting.name, waiting.queued) == ("a", 2)


async def test_a_drain_refuses_at_once_what_will_not_be_done(bench):
    b = bench()
    running = b.dispatcher.generate(a_message("running"))
    short = b.dispatcher.generate(a_message("short"))
    long = b.dispatcher.generate(a_message("long", max_tokens=10**6))
    b.predictor.answer("short", 3.0)
    b.predictor.answer("long", 900_000.0)
    drain = asyncio.create_task(b.dispatcher.drain(60.0))
    await ticks()
    with pytest.raises(DrainingError):
        await anext(long)
    for prompt in ("running", "short"):
        b.upstream.call(prompt).token(final=True)
        await ticks()
    await drain
    for generation in (running, short):
        assert len([response async for response in generation]) == 1


async def test_the_outlook_of_an_idle_gateway_is_nothing(bench):
    assert set(bench().dispatcher.outlook()) == {0.0}
