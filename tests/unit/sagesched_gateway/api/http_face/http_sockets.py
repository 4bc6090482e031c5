"""A listener as the gateway runs it, and raw sockets to it: what no HTTP client would send."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from aiohttp import web

from sagesched_gateway.api.http_face.app import connection_options
from sagesched_gateway.api.http_face.connection import HttpListener
from sagesched_gateway.settings.sections.limits import LimitsConfig

WAIT_S = 10.0


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def word(self) -> str:
        return self.headers["x-sagesched-error"]

    @property
    def error(self) -> str:
        text: str = json.loads(self.body)["error"]
        return text


class Socket:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """The next answer, which has a length."""
        async with asyncio.timeout(WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """All until the other side closes."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def listening(app: web.Application, limits: LimitsConfig, **options: Any) -> AsyncIterator[str]:
    """Serve an application on a free port; its address."""
    listener = HttpListener(app, options=connection_options(limits), close_grace_s=0.2, **options)
    address = await listener.start("127.0.0.1:0")
    try:
        yield address
    finally:
        await listener.close()


@asynccontextmanager
async def connected(address: str, *, receive_bytes: int | None = None) -> AsyncIterator[Socket]:
    """A connection; with `receive_bytes` its buffer for what it does not read is small."""
    host, _, port = address.rpartition(":")
    if receive_bytes is None:
        reader, writer = await asyncio.open_connection(host, int(port))
    else:
        reader, writer = await asyncio.open_connection(
            sock=_small_socket(host, int(port), receive_bytes), limit=1
        )
    connection = Socket(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


def _small_socket(host: str, port: int, receive_bytes: int) -> socket.socket:
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    small.connect((host, port))
    return small
