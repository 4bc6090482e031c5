"""Bodies of requests, bounded in size, in patience, and in what all of them take together while they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from sagesched_gateway.errors import InvalidRequestError, QueueFullError, TooLargeError
from sagesched_gateway.settings.limits import Limits

PATIENCE_S = 60.0
"""Longest time between two pieces of a body."""


class BodyRoom:
    """What all bodies that are being read take together: as much as may wait, and one body at least."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken_bytes = 0

    def take(self, num_bytes: int) -> None:
        """So much more has come; raises QueueFullError where there is no room for it."""
        limits = self._limits
        most_bytes = max(limits.queued_bytes, limits.message_bytes)
        if self._taken_bytes + num_bytes > most_bytes:
            problem = (
                f"request bodies of {self._taken_bytes} bytes are on their way, {most_bytes} is the limit"
            )
            raise QueueFullError(problem, code=limits.full_code)
        self._taken_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """A body is whole, or will not be."""
        self._taken_bytes -= num_bytes


BODY_ROOM = web.AppKey("body_room", BodyRoom)
"""Of an application, its own or a surrounding one's: where its bodies are counted."""


async def read_body(request: web.Request, most_bytes: int) -> bytes:
    """All of the body.

    Raises:
        TooLargeError: it is larger than `most_bytes`.
        InvalidRequestError: nothing of it came for `PATIENCE_S` seconds.
        QueueFullError: it and all others that are being read are too much.
    """
    room = request.config_dict[BODY_ROOM]
    pieces: list[bytes] = []
    try:
        async for piece in pieces_of(request, most_bytes):
            room.take(len(piece))
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        room.give_back(sum(map(len, pieces)))


async def pieces_of(request: web.Request, most_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes; see `read_body`, but that it is not counted."""
    told = request.content_length
    if told is not None and told > most_bytes:
        raise _too_large(most_bytes)
    size = 0
    while True:
        try:
            async with asyncio.timeout(PATIENCE_S):
                piece = await request.content.readany()
        except TimeoutError as error:
            raise InvalidRequestError(
                f"the request body broke off: {size} bytes came, then nothing for {PATIENCE_S:g} s"
            ) from error
        if not piece:
            return
        size += len(piece)
        if size > most_bytes:
            raise _too_large(most_bytes)
        yield piece


def _too_large(most_bytes: int) -> TooLargeError:
    return TooLargeError(f"the request body is larger than {most_bytes} bytes, the gateway's limit")
