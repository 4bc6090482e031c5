"""What a drain waits for of calls that are only passed on."""

from __future__ import annotations

import asyncio

from dispatch_fakes import a_message, until

from sagesched_gateway.api.grpc_face import passthrough


async def test_a_unary_call_is_waited_for_until_it_is_answered(face, monkeypatch):
    answered = asyncio.Event()

    async def slow(*_: object, **__: object) -> bytes:
        await answered.wait()
        return b"statistics"

    monkeypatch.setattr(face.raw, "unary", slow)
    call = asyncio.ensure_future(face.unary("ModelStatistics"))
    await until(lambda: face.passed.num_busy() == 1)
    assert not await face.passed.until_none(0.2)
    answered.set()
    assert await call == b"statistics"
    assert await face.passed.until_none(2.0)


async def test_a_stream_is_waited_for_while_answers_come_or_are_owed(face, monkeypatch):
    monkeypatch.setattr(passthrough, "QUIET_S", 0.3)
    call = face.stream()
    await call.write(a_message(model="adder"))
    assert await call.read()
    assert face.passed.num_busy() == 1, "more answers may come to the same request"
    assert await face.passed.until_none(2.0), "that it stays open is no reason to wait"
    face.raw.streams[0].is_silent = True
    await call.write(a_message(model="adder"))
    await until(lambda: face.passed.num_busy() == 1)
    assert not await face.passed.until_none(0.6)
    call.cancel()
    assert await face.passed.until_none(2.0), "its caller has left"
