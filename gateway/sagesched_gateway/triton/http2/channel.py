"""`StreamChannel`: calls of one gRPC method, each with one request, on the event loop's own thread.

grpc.aio hands every operation to threads of its own and takes its results back from them: three wake-ups
until a message is seen, a future and a trip through a socket for each. Here a request is one write, a token
one read. Only what generations need is built: one request, half-closed, and a stream of answers; all other
calls go through grpc.aio. See docs/decisions/0016.
"""

from __future__ import annotations

import asyncio

import grpc

from sagesched_gateway.request import Metadata
from sagesched_gateway.triton.http2.connection import Connection
from sagesched_gateway.triton.http2.frames import metadata_block, request_block
from sagesched_gateway.triton.http2.stream import MessageStream

_CONNECT_S = 20.0  # as gRPC waits


class StreamChannel:
    """Opens streams; connects, and connects again, when there is something to send."""

    def __init__(self, address: str, path: str) -> None:
        """Prepare; must be called inside the running event loop.

        Args:
            address: `host:port` of the server.
            path: of the method.
        """
        self._loop = asyncio.get_running_loop()
        self._address = address
        self._block = request_block(address, path)
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: list[tuple[MessageStream, bytes, bytes]] = []

    def call(self, message: bytes, metadata: Metadata) -> MessageStream:
        """Send a request; where there is no connection, as soon as there is one."""
        stream = MessageStream(self._loop)
        block = self._block + metadata_block(metadata)
        body = len(message).to_bytes(5, "big") + message
        connection = self._connection
        if connection is not None and connection.takes_streams:
            connection.open(stream, block, body)
        else:
            self._waiting.append((stream, block, body))
            self.connect()
        return stream

    def connect(self) -> None:
        """Connect where there is no connection, so that the next call need not wait for one."""
        is_connected = self._connection is not None and self._connection.takes_streams
        if self._connecting is None and not is_connected:
            self._connecting = self._loop.create_task(self._connect())

    async def close(self) -> None:
        """Close the connection; streams still open end."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> None:
        failure = "the channel was closed"
        try:
            async with asyncio.timeout(_CONNECT_S):
                self._connection = await self._connected()
        except (OSError, TimeoutError) as error:
            failure = f"failed to connect: {error or 'timed out'}"
        finally:
            self._connecting = None
            waiting, self._waiting = self._waiting, []
            for stream, block, body in waiting:
                if stream.is_over:
                    continue
                if self._connection is not None and self._connection.takes_streams:
                    self._connection.open(stream, block, body)
                else:
                    stream.failed(grpc.StatusCode.UNAVAILABLE, failure)

    async def _connected(self) -> Connection:
        host, _, port = self._address.rpartition(":")
        connection = Connection(self._loop)
        await self._loop.create_connection(lambda: connection, host.strip("[]"), int(port))
        try:
            await connection.ready
        except BaseException:
            connection.close()
            raise
        return connection
