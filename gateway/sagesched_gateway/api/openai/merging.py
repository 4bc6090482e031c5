"""Responses to several prompts of one request, in the order they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.errors import GatewayError
from sagesched_gateway.kserve import ModelInferResponse

News = tuple[int, ModelInferResponse | None]
"""Place of a generation, and its response; None when it has ended."""

_Feed = asyncio.Queue[tuple[int, ModelInferResponse | GatewayError | None]]


async def in_any_order(generations: Sequence[Generation]) -> AsyncGenerator[News, None]:
    """All responses of all generations, and the end of each.

    Raises:
        GatewayError: one of them ended badly.
    """
    if len(generations) == 1:
        async for response in generations[0]:
            yield 0, response
        yield 0, None
        return
    # As short as can be: what is not read yet stays in the generations, where it is counted.
    feed: _Feed = asyncio.Queue(maxsize=1)
    tasks = [asyncio.create_task(_pass_on(*item, feed)) for item in enumerate(generations)]
    num_open = len(tasks)
    try:
        while num_open:
            place, item = await feed.get()
            if isinstance(item, GatewayError):
                raise item
            num_open -= item is None
            yield place, item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(place: int, generation: Generation, feed: _Feed) -> None:
    try:
        async for response in generation:
            await feed.put((place, response))
    except GatewayError as error:
        await feed.put((place, error))
    else:
        await feed.put((place, None))
