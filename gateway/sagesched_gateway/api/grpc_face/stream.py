"""One caller's `ModelStreamInfer` stream: many requests in, their responses merged onto it, tagged by id.

Each message is a generation of its own, queued by dispatch; messages for models that do not generate text
(and those that cannot be read, so that Triton itself says what is wrong) share one plain stream to Triton.
One task reads, one writes; responses come in through `Listener` without a task per request, and wait here
until the caller takes them.

Failures are answered inside the stream (`error_message` with the request's id), which goes on for the others;
a caller that sent the metadata `triton_grpc_error: true` gets a gRPC status instead, which ends it.

A stream is bounded: what its caller leaves unread, how long it reads nothing, how long it is not used. Beyond
that it is cut: its requests are really stopped, and the caller gets the status when it reads again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from dataclasses import dataclass

import grpc.aio
from google.protobuf.message import DecodeError

from sagesched_gateway.api.grpc_face.call_attributes import CallAttributes
from sagesched_gateway.api.grpc_face.passthrough import (
    CallContext,
    PassedStream,
    RawUpstream,
    abort,
    forwarded_metadata,
    is_for_triton,
    trailing_metadata,
)
from sagesched_gateway.api.grpc_face.response_order import ResponseOrder
from sagesched_gateway.api.passed_calls import PassedCalls
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.errors import (
    DeadlineError,
    GatewayError,
    IdleStreamError,
    InternalError,
    InvalidRequestError,
    SlowReaderError,
    TooLargeError,
    UpstreamError,
)
from sagesched_gateway.kserve import (
    FINAL_PARAMETER,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
)
from sagesched_gateway.request import Attributes
from sagesched_gateway.settings.config import GatewayConfig
from sagesched_gateway.text_tensors import refuse_classes_of_texts, refuse_cut_texts, refuse_many_fields

_LOG = logging.getLogger(__name__)

GRPC_ERROR_KEY = "triton_grpc_error"
_TIMER_EARLY_S = 0.01  # timers count whole milliseconds and may come a little too soon
_LONGEST_AGE = 1.1  # gRPC spreads the age of connections by +-10 %
_RESPONSE_TAG = b"\x12"  # field 2 (infer_response) of ModelStreamInferResponse, length-delimited


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBounds:
    """What one stream may take.

    Attributes:
        unread_bytes: answers that the caller has not taken.
        slow_reader_s: seconds in which it takes nothing of what there is.
        idle_s: seconds without requests.
        age_s: seconds after which its connection has surely been told to end; it is cut when nothing runs on
            it, before the connection takes it down with whatever runs then.
    """

    unread_bytes: int
    slow_reader_s: float
    idle_s: float
    age_s: float = math.inf

    @classmethod
    def of(cls, config: GatewayConfig) -> StreamBounds:
        """As the settings say."""
        return cls(
            unread_bytes=config.limits.unread_bytes,
            slow_reader_s=config.limits.slow_reader_s,
            idle_s=config.limits.idle_stream_s,
            age_s=config.listen.connection_age_s * _LONGEST_AGE or math.inf,
        )


class StreamSession:
    """Serves one stream; `run` returns when it is over."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        upstream: RawUpstream,
        context: CallContext,
        attributes: CallAttributes,
        bounds: StreamBounds,
        passed: PassedCalls,
    ) -> None:
        self._dispatcher = dispatcher
        self._upstream = upstream
        self._context = context
        self._attributes = attributes
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._passed_metadata = forwarded_metadata(context)
        self._metadata = tuple(item for item in self._passed_metadata if item[0] != GRPC_ERROR_KEY)
        self._wants_status = (GRPC_ERROR_KEY, "true") in self._passed_metadata
        remaining_s = context.time_remaining()
        self._deadline_at = None if remaining_s is None else self._loop.time() + remaining_s
        self._outbox: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._live: set[Generation] = set()
        self._order = ResponseOrder(self._push)
        self._reports: set[Generation] = set()  # those that owe their caller one
        self._unread = 0  # bytes in the outbox and in the write under way
        self._num_written = 0
        self._num_read = 0
        self._opened_at = self._loop.time()
        self._stuck_at, self._stuck_since = -1, 0.0  # see `look`
        self._idle_at, self._idle_since = -1, 0.0
        self._passed_calls = passed
        self._passed: PassedStream | None = None
        self._is_passing = False
        self._is_half_closed = False
        self._is_over = False
        self._is_cut = False
        self._failure: GatewayError | None = None

    async def run(self) -> None:
        """Serve until both sides are done; on the caller's cancellation everything is cancelled with it."""
        reader: asyncio.Task[None] | None = None
        try:
            # Most streams carry one request, which need not wait until a task is set up.
            if await self._read_one():
                reader = self._loop.create_task(self._read_rest())
            await self._write()
        finally:
            self._is_over = True
            if reader is not None:
                reader.cancel()
            self._close()

    # --- Dispatch's side: see `Listener` ---

    def responded(self, generation: Generation, response: ModelInferResponse | bytes) -> None:
        """Put a response into the outbox."""
        if not isinstance(response, bytes):
            if generation in self._reports:
                self._reports.discard(generation)
                self._attributes.report(generation, response)
            response = _framed(response)
        self._order.put(generation, response)
        self._wake()

    def ended(self, generation: Generation, error: GatewayError | None) -> None:
        """A generation is over."""
        self._live.discard(generation)
        self._reports.discard(generation)
        if error is not None:
            self._report(error, generation.client_id, generation.model, generation)
        self._order.end(generation)
        self._wake()

    # --- The sweeper's side: see `Swept` ---

    def look(self, now: float) -> None:
        """Cut the stream where it is not read, not used, or older than its connection may become."""
        if self._is_cut:
            return
        if self._unread:
            self._look_at_reader(now)
        elif not (self._live or self._is_half_closed):
            self._look_at_use(now)

    def _look_at_reader(self, now: float) -> None:
        self._idle_at = -1
        if self._stuck_at != self._num_written:
            self._stuck_at, self._stuck_since = self._num_written, now
        elif now - self._stuck_since >= self._bounds.slow_reader_s:
            self._cut(SlowReaderError(f"nothing was read for {self._bounds.slow_reader_s:g} s"))

    def _look_at_use(self, now: float) -> None:
        self._stuck_at = -1
        num_moved = self._num_written + self._num_read
        if self._idle_at != num_moved:
            self._idle_at, self._idle_since = num_moved, now
        elif now - self._idle_since >= self._bounds.idle_s:
            self._cut(IdleStreamError(f"the stream had no requests for {self._bounds.idle_s:g} s"))
        elif now - self._opened_at >= self._bounds.age_s and not self._is_passing:
            self._cut(IdleStreamError("the stream's connection has reached its age; open a new one"))

    def _cut(self, error: GatewayError) -> None:
        """End the stream without regard to what is still to be said on it."""
        _LOG.info("a stream of %s is ended: %s", self._context.peer(), error.message)
        self._failure = error
        self._is_cut = True
        self._outbox.clear()
        # Not at once: it may be a refusal that was too much, and the core is about to refuse others of them.
        self._loop.call_soon(self._close)
        self._wake()

    def _close(self) -> None:
        """Nobody is there for what still runs."""
        for generation in list(self._live):
            generation.close()
        if self._passed is not None and self._is_passing:
            self._passed.close()

    # --- The caller's side ---

    async def _read_rest(self) -> None:
        while await self._read_one():
            pass

    async def _read_one(self) -> bool:
        """Take the caller's next message; False when there will be none."""
        try:
            if (body := await self._context.read()) is not grpc.aio.EOF:
                if self._is_cut:
                    return False
                self._num_read += 1
                await self._take(body)
                return True
            if self._passed is not None:
                await self._passed.done_writing()
        except Exception as error:
            # A call that has been ended fails what waits for its next message: that is no failure.
            if not self._is_over:
                _LOG.exception("a stream failed inside the gateway")
                self._failure = InternalError(f"{type(error).__name__}: {error}")
        self._is_half_closed = True
        self._wake()
        return False

    async def _write(self) -> None:
        outbox, write = self._outbox, self._context.write
        while True:
            while outbox:
                message = outbox.popleft()
                await write(message)
                self._unread -= len(message)
                self._num_written += 1
            if self._failure is not None:
                self._is_over = True
                await abort(self._context, self._failure)
            if self._is_half_closed and not self._live and not self._is_passing:
                return
            self._waiter = self._loop.create_future()
            await self._waiter

    async def _take(self, body: bytes) -> None:
        """One message of the caller."""
        try:
            refuse_many_fields(body)
            message = ModelInferRequest.FromString(body)
        except TooLargeError as error:
            self._failure = error
            return
        except DecodeError:
            self._failure = InvalidRequestError("a message of the stream is no ModelInferRequest")
            return
        client_id, model = message.id, message.model_name
        try:
            refuse_cut_texts(message)
            attributes, body = self._attributes.take(message, body)
        except InvalidRequestError as error:
            self._report(error, client_id, model)
            return
        try:
            if self._dispatcher.is_generation(model) or await self._dispatcher.resolve(model):
                self._generate(message, body, attributes)
                return
            refuse_classes_of_texts(message, self._dispatcher.text_outputs(model))
        except GatewayError as error:
            if not is_for_triton(error):
                self._report(error, client_id, model)
                return
        await self._pass_on(body)

    def _generate(self, message: ModelInferRequest, body: bytes, attributes: Attributes) -> None:
        is_decoupled = self._dispatcher.is_decoupled(message.model_name)
        generation = self._dispatcher.generate(
            message,
            body=body,
            deadline_at=self._deadline_at,
            metadata=self._metadata,
            attributes=attributes,
            listener=self,
        )
        if not generation.is_ended:
            self._live.add(generation)
            if attributes.wants_report:
                self._reports.add(generation)
            if not is_decoupled:
                self._order.begin(generation)

    async def _pass_on(self, body: bytes) -> None:
        if self._passed is None or not self._is_passing:
            self._passed = PassedStream(
                self._upstream,
                self._passed_metadata,
                self._received,
                self._passing_ended,
                self._passed_calls,
            )
            self._is_passing = True
        await self._passed.send(body)

    def _received(self, body: bytes) -> None:
        self._push(body)
        self._wake()

    def _passing_ended(self, error: GatewayError | None) -> None:
        self._is_passing = False
        if error is not None and not self._is_cut:
            self._failure = error
        self._wake()

    def _report(
        self, error: GatewayError, client_id: str, model: str, generation: Generation | None = None
    ) -> None:
        """Tell the caller of a failed request."""
        is_in_band = isinstance(error, UpstreamError) and error.in_band
        # Past the deadline of the whole call the call ends, as if the caller had noticed it first.
        is_late = isinstance(error, DeadlineError) and self._is_past_deadline()
        if is_late or (self._wants_status and not is_in_band):
            self._failure = error
        else:
            self._order.put(generation, _in_band(error, client_id, model))
        self._wake()

    def _is_past_deadline(self) -> bool:
        return self._deadline_at is not None and self._loop.time() >= self._deadline_at - _TIMER_EARLY_S

    def _push(self, message: bytes) -> None:
        """Into the outbox, where no more than the bound and one message may pile up."""
        if self._is_cut:
            return
        if self._unread > self._bounds.unread_bytes:
            self._cut(SlowReaderError(f"more than {self._bounds.unread_bytes} bytes were left unread"))
            return
        self._outbox.append(message)
        self._unread += len(message)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _framed(response: ModelInferResponse) -> bytes:
    """A ModelStreamInferResponse around a response, without copying it into one."""
    body: bytes = response.SerializeToString()
    return _RESPONSE_TAG + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _in_band(error: GatewayError, client_id: str, model: str) -> bytes:
    """A failure as Triton tells it inside the stream; errors found before its queue carry the id alone."""
    message = ModelStreamInferResponse(error_message=error.message)
    message.infer_response.id = client_id
    if not (isinstance(error, UpstreamError) and error.in_band):
        message.infer_response.model_name = model
        message.infer_response.parameters[FINAL_PARAMETER].bool_param = True
    for key, value in trailing_metadata(error):
        # What a status would bring as trailing metadata.
        message.infer_response.parameters[key].string_param = value
    encoded: bytes = message.SerializeToString()
    return encoded
