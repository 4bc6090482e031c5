"""Bodies on their way: together they may not take more than may wait."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.test_utils import TestClient

from sagesched_gateway.settings.sections.limits import LimitsConfig

GENERATE = "/v2/models/ensemble/generate"
PIECE = b" " * 1500


@pytest.fixture
def options():
    limits = LimitsConfig(message_bytes=2048, queued_bytes=4096, full_code="RESOURCE_EXHAUSTED")
    return {"limits": limits}


class Slow:
    """A body that begins and then waits to be finished."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def __aiter__(self):
        yield PIECE
        await self.may_end.wait()
        yield b'{"text_input": "hi"}'


async def posted(client: TestClient, body: Slow) -> tuple[int, str | None, str | None]:
    async with client.post(GENERATE, data=aiter(body)) as answer:
        return answer.status, answer.headers.get("x-sagesched-error"), answer.headers.get("Retry-After")


async def test_a_body_too_much_is_refused_and_those_on_their_way_go_on(client, dispatcher, respond):
    dispatcher.responses = [respond("a")]
    slow = [Slow(), Slow()]
    asking = [asyncio.create_task(posted(client, body)) for body in slow]
    await asyncio.sleep(0.2)
    assert await posted(client, Slow()) == (429, "queue-full", "1")
    slow[0].may_end.set()
    assert (await asking[0])[0] == 200
    late = Slow()
    late.may_end.set()
    assert (await posted(client, late))[0] == 200, "the room of what is whole is free again"
    asking[1].cancel()
    await asyncio.gather(asking[1], return_exceptions=True)
    await asyncio.sleep(0.1)
    more = [Slow(), Slow()]
    asking = [asyncio.create_task(posted(client, body)) for body in more]
    await asyncio.sleep(0.2)
    for body in more:
        body.may_end.set()
    assert [status for status, *_ in await asyncio.gather(*asking)] == [200, 200], "so is that of who left"
