"""gRPC calls that are only passed on to Triton: bytes in, bytes out, metadata, status and details kept.

`RawUpstream` is what this needs of Triton; `triton.client.TritonClient` is one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
import grpc.aio

from sagesched_gateway.api.attributes import PRIVATE_PREFIX
from sagesched_gateway.api.passed_calls import PassedCalls
from sagesched_gateway.api.status_codes import grpc_code
from sagesched_gateway.errors import (
    DeadlineUnreachableError,
    GatewayError,
    InvalidRequestError,
    UnsupportedError,
    UpstreamError,
)
from sagesched_gateway.request import Metadata, MissingInputError

ERROR_KEY = "x-sagesched-error"
"""Trailing metadata: the stable word of an error that is the gateway's own."""

RETRY_AFTER_KEY = "retry-after"
"""Trailing metadata: whole seconds until another try may do better."""

RETRY_AFTER_MS_KEY = "retry-after-ms"
"""The same in milliseconds."""

PROBABILITY_KEY = "x-sagesched-probability"
"""Of being done in time, where a deadline is the reason of a refusal."""

QUIET_S = 2.0
"""A passed stream that has owed nothing and heard nothing for so long is not waited for by a drain."""

_NOT_FORWARDED = ("grpc-", ":", PRIVATE_PREFIX)
_NOT_FORWARDED_KEYS = frozenset({"user-agent", "content-type", "te", "host", "connection"})


class CallContext(Protocol):
    """What is used of `grpc.aio.ServicerContext`, which has no types of its own."""

    async def read(self) -> Any:
        """The caller's next message, or `grpc.aio.EOF`."""

    async def write(self, message: bytes) -> None:
        """Send a message to the caller."""

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Metadata) -> None:
        """End the call with a status; raises."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None where it has none."""

    def peer(self) -> str:
        """The caller's address as gRPC writes it."""

    def invocation_metadata(self) -> Metadata | None:
        """What the caller sent before its first message."""


class RawStream(Protocol):
    """A bidirectional stream in bytes."""

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`; raises grpc.aio.AioRpcError where the stream ended badly."""

    async def write(self, message: bytes) -> None:
        """Send a message."""

    async def done_writing(self) -> None:
        """Nothing more will be sent."""

    def cancel(self) -> bool:
        """Reset the stream."""


class RawUpstream(Protocol):
    """Triton, in bytes."""

    def unary(
        self, path: str, body: bytes, *, metadata: Metadata = (), timeout_s: float | None = None
    ) -> Awaitable[bytes]:
        """Call a method; raises grpc.aio.AioRpcError when awaited."""

    def stream(self, *, metadata: Metadata = ()) -> RawStream:
        """Open a `ModelStreamInfer` stream."""

    def error_of(self, error: grpc.aio.AioRpcError) -> GatewayError:
        """A failed call in the gateway's words."""


def forwarded_metadata(context: CallContext) -> Metadata:
    """The caller's metadata without what belongs to its own connection or is for the gateway."""
    return tuple(
        (key, value)
        for key, value in context.invocation_metadata() or ()
        if not key.startswith(_NOT_FORWARDED) and key not in _NOT_FORWARDED_KEYS
    )


async def abort(context: CallContext, error: GatewayError) -> None:
    """End a call with the error's status; raises, as `context.abort` does."""
    code = grpc_code(error)
    await context.abort(code, error.message, trailing_metadata(error))


def trailing_metadata(error: GatewayError) -> tuple[tuple[str, str], ...]:
    """What goes with an error's status: its word, when to try again, how likely it was to be in time."""
    trailing = {} if isinstance(error, UpstreamError) else {ERROR_KEY: error.word}
    if error.retry_after_s is not None:
        trailing[RETRY_AFTER_KEY] = str(max(1, math.ceil(error.retry_after_s)))
        trailing[RETRY_AFTER_MS_KEY] = str(max(1, round(error.retry_after_s * 1000)))
    if isinstance(error, DeadlineUnreachableError) and error.probability is not None:
        trailing[PROBABILITY_KEY] = f"{error.probability:.3f}"
    return tuple(trailing.items())


async def forward_unary(upstream: RawUpstream, path: str, body: bytes, context: CallContext) -> bytes:
    """Pass a unary call on; a failed one ends the caller's call with the same code and details."""
    try:
        return await upstream.unary(
            path, body, metadata=forwarded_metadata(context), timeout_s=context.time_remaining()
        )
    except grpc.aio.AioRpcError as error:
        await abort(context, upstream.error_of(error))
        raise AssertionError("abort raises") from error


def is_for_triton(error: GatewayError) -> bool:
    """Whether a request that dispatch cannot read is passed on, for Triton to judge it in its own words.

    Not where it can be read and Triton would come to harm by it.
    """
    is_for_us = isinstance(error, MissingInputError | UnsupportedError)
    return isinstance(error, InvalidRequestError) and not is_for_us


class PassedStream:
    """The part of a caller's `ModelStreamInfer` stream that goes to Triton untouched, opened at first need.

    Responses of Triton to several requests on one stream keep Triton's own order. How many come to a request
    only its model knows: a drain takes it to be over when at least one has come to each, and then none for a
    while.
    """

    def __init__(
        self,
        upstream: RawUpstream,
        metadata: Metadata,
        received: Callable[[bytes], None],
        ended: Callable[[GatewayError | None], None],
        calls: PassedCalls,
    ) -> None:
        """Open the stream.

        Args:
            upstream: where to.
            metadata: the caller's.
            received: takes each response of Triton, as it is.
            ended: called once when Triton has closed the stream.
            calls: counts what is under way.
        """
        self._upstream = upstream
        self._received = received
        self._ended = ended
        self._call = upstream.stream(metadata=metadata)
        self._is_closed = False
        self._num_owed = 0
        self._heard_at = -math.inf
        self._loop = asyncio.get_running_loop()
        self._calls = calls
        calls.opened(self)
        self._reader = asyncio.create_task(self._read())

    def is_busy(self, now: float) -> bool:
        """See `PassedOn`."""
        return self._num_owed > 0 or now - self._heard_at < QUIET_S

    async def send(self, message: bytes) -> None:
        """Pass a request on."""
        # A broken stream is reported by the reader.
        if not self._reader.done():
            self._num_owed += 1
            try:
                await self._call.write(message)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await asyncio.wait({self._reader})

    async def done_writing(self) -> None:
        """The caller has half-closed its stream."""
        if not self._reader.done():
            await self._call.done_writing()

    def close(self) -> None:
        """The caller is gone."""
        self._is_closed = True
        self._call.cancel()

    async def _read(self) -> None:
        error = None
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                self._num_owed -= 1
                self._heard_at = self._loop.time()
                self._received(message)
        except grpc.aio.AioRpcError as failure:
            error = self._upstream.error_of(failure)
        except asyncio.CancelledError:
            # After `close` the pending read is cancelled by the call; otherwise it is this task.
            if not self._is_closed:
                raise
        finally:
            self._calls.ended(self)
        self._ended(error)
