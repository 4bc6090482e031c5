"""Bodies of requests, bounded in size and in patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from sagesched_gateway.errors import InvalidRequestError, TooLargeError

PATIENCE_S = 60.0
"""Longest time between two pieces of a body."""


async def read_body(request: web.Request, most_bytes: int) -> bytes:
    """All of the body.

    Raises:
        TooLargeError: it is larger than `most_bytes`.
        InvalidRequestError: nothing of it came for `PATIENCE_S` seconds.
    """
    return b"".join([piece async for piece in pieces_of(request, most_bytes)])


async def pieces_of(request: web.Request, most_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes; see `read_body`."""
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
