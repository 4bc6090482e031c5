"""Answers on their way out: one object, or server-sent events.

A stream's 200 is held back until the first response has come, so that a request that fails while it waits
gets a proper status; from then on an error is an event, and `[DONE]` stays away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import hdrs, web

from sagesched_gateway.api.http_face.sse import EventStream
from sagesched_gateway.api.json_form.generate import to_bytes
from sagesched_gateway.api.openai.answer import Answer, Usage
from sagesched_gateway.api.openai.error_answer import as_openai_tells, error_object
from sagesched_gateway.api.openai.merging import in_any_order
from sagesched_gateway.api.openai.shapes import AnswerObjects, Object, Shape
from sagesched_gateway.api.status_codes import http_status
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.errors import GatewayError
from sagesched_gateway.kserve import ModelInferResponse

_DONE = b"[DONE]"
_STREAM_HEADERS = {hdrs.CACHE_CONTROL: "no-cache", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Running:
    """One prompt under way.

    Attributes:
        generation: where its responses come from.
        answer: what has come.
    """

    generation: Generation
    answer: Answer


async def write_whole(
    shape: Shape,
    objects: AnswerObjects,
    running: Sequence[Running],
    told: Callable[[], dict[str, str]],
) -> web.StreamResponse:
    """The answers in one object, when all have ended.

    Args:
        shape: of the endpoint.
        objects: of this answer.
        running: its prompts.
        told: headers, asked for at the end.

    Raises:
        GatewayError: one of them ended badly.
    """
    async with aclosing(in_any_order([one.generation for one in running])) as news:
        async for place, response in news:
            answer = running[place].answer
            _ = answer.close() if response is None else answer.add(response)
    choices = [
        shape.choice(place, one.answer.text, await one.answer.finish_reason())
        for place, one in enumerate(running)
    ]
    return json_response(objects.whole(choices, await usage_of(running)), told())


class StreamWriter:
    """Writes answers piece by piece."""

    def __init__(
        self,
        stream: EventStream,
        shape: Shape,
        objects: AnswerObjects,
        running: Sequence[Running],
        told: Callable[[], dict[str, str]],
    ) -> None:
        """Nothing is sent yet.

        Args:
            stream: where to.
            shape: of the endpoint.
            objects: of this answer.
            running: its prompts.
            told: headers, asked for when the first response has come.
        """
        self._stream = stream
        self._shape = shape
        self._objects = objects
        self._running = running
        self._told = told
        self._opened: set[int] = set()

    async def write(self, *, include_usage: bool) -> web.StreamResponse:
        """All of it, to the end.

        Args:
            include_usage: end with the token counts.

        Raises:
            GatewayError: it ended badly before anything was sent; later the stream tells.
        """
        try:
            async with aclosing(in_any_order([one.generation for one in self._running])) as news:
                async for place, response in news:
                    await self._pass_on(place, response)
            if include_usage:
                await self._send(self._objects.usage_chunk(await usage_of(self._running)))
            await self._stream.send(_DONE)
        except GatewayError as error:
            if not self._stream.is_begun:
                raise
            told = as_openai_tells(error)
            await self._send(error_object(http_status(told), told))
        return await self._stream.end()

    async def _pass_on(self, place: int, response: ModelInferResponse | None) -> None:
        answer = self._running[place].answer
        text = answer.close() if response is None else answer.add(response)
        reason = await answer.finish_reason() if response is None else None
        if not self._stream.is_begun:
            await self._stream.begin(_STREAM_HEADERS | self._told())
        for choice in self._choices(place, text, reason):
            await self._send(self._objects.chunk(choice))

    def _choices(self, place: int, text: str, reason: str | None) -> Iterator[Object]:
        if place not in self._opened:
            self._opened.add(place)
            opening = self._shape.opening(place)
            if opening is not None:
                yield opening
        if text:
            yield self._shape.delta(place, text)
        if reason is not None:
            yield self._shape.closing(place, reason)

    async def _send(self, event: Object) -> None:
        await self._stream.send(to_bytes(event))


def json_response(value: Object, headers: dict[str, str] | None = None) -> web.Response:
    """An object as the whole answer."""
    return web.Response(body=to_bytes(value), content_type="application/json", headers=headers)


async def usage_of(running: Sequence[Running]) -> Usage:
    """Tokens of all together, when they have ended."""
    usage = Usage(0, 0)
    for one in running:
        usage += await one.answer.usage()
    return usage
