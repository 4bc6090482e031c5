"""Open-loop load: each request goes out at its own time, whatever became of those before it.

A client that waits for answers before it sends more would slow down with the server and hide its queue. So
the trace's arrivals are kept, one ModelStreamInfer stream per request, and time to first and last token are
counted from the arrival that was due, not from the instant at which a busy client got round to it.

The client reads no more of an answer than it must, and the demo gives it a process of its own
(`demo.load_process`). It also measures itself: how late it sent, and how late its own loop woke. A client
that was starved of CPU would report the server's times wrong; `LoadResult.late` says so.

Only prompt, `max_tokens` and an id are sent: a `LoadRequest` has no place for the true output length.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
import numpy as np
from tritonclient.grpc.service_pb2 import ModelStreamInferResponse

from sagesched_emulator.load_messages import KINDS, TEXT
from sagesched_emulator.load_result import LoadResult, RequestTiming

STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
ERROR_FIELD = b"\x0a"
"""First byte of a ModelStreamInferResponse with `error_message` (field 1): all that is decoded per chunk."""

PROGRESS_EVERY_S = 0.5
TICK_S = 0.02
CONNECT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """What a client knows of a request.

    Attributes:
        id: unique within the load.
        prompt: the prompt's text.
        max_tokens: the caller's cap on output tokens.
        arrival_s: when to send it, engine seconds after the start.
    """

    id: str
    prompt: str
    max_tokens: int
    arrival_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """One load to send.

    Attributes:
        address: `host:port` of the gRPC service.
        model: name of the served model.
        requests: in order of arrival.
        kind: of the model, one of `load_messages.KINDS`.
        time_scale: wall seconds per engine second.
        timeout_s: wall seconds after which what is still running is given up and counted as failed.
    """

    address: str
    model: str
    requests: tuple[LoadRequest, ...]
    time_scale: float = 1.0
    timeout_s: float = 3600.0
    kind: str = TEXT


def generate_message(request: LoadRequest, model: str, kind: str = TEXT) -> bytes:
    """The request as a serialized ModelInferRequest, streaming."""
    return KINDS[kind](model, request.id, request.prompt, request.max_tokens)


async def run_load(spec: LoadSpec, on_progress: Callable[[int, int], None] | None = None) -> LoadResult:
    """Send all requests and wait for all answers.

    Args:
        spec: what to send, where and how fast.
        on_progress: called about twice a second with the numbers of requests sent and ended.

    Raises:
        ConnectionError: nothing listens at the address.
    """
    messages = [generate_message(request, spec.model, spec.kind) for request in spec.requests]
    async with grpc.aio.insecure_channel(spec.address, options=CHANNEL_OPTIONS) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), CONNECT_TIMEOUT_S)
        except TimeoutError as error:
            raise ConnectionError(f"no gRPC server answers at {spec.address}") from error
        return await _Load(spec, messages, channel).run(on_progress or (lambda sent, ended: None))


class _Load:
    def __init__(self, spec: LoadSpec, messages: Sequence[bytes], channel: grpc.aio.Channel) -> None:
        self.spec = spec
        self.messages = messages
        self.infer = channel.stream_stream(STREAM_INFER)  # no serializers: bytes in, bytes out
        self.timings = [
            RequestTiming(id=request.id, due_at=request.arrival_s * spec.time_scale)
            for request in spec.requests
        ]
        self.gave_up = f"gave up after {spec.timeout_s:g} s"
        self.ticks_late_s: list[float] = []
        self.num_ended = 0
        self.started = 0.0

    async def run(self, on_progress: Callable[[int, int], None]) -> LoadResult:
        started_at, self.started = time.time(), time.monotonic()
        watch = [asyncio.create_task(self._tick()), asyncio.create_task(self._report(on_progress))]
        try:
            async with asyncio.timeout(self.spec.timeout_s):
                await self._send_all()
        except TimeoutError:
            for timing in self.timings:
                if timing.last_at is None and timing.error is None:
                    timing.error = self.gave_up
        finally:
            for task in watch:
                task.cancel()
            await asyncio.gather(*watch, return_exceptions=True)
        on_progress(len(self.timings), self.num_ended)
        return LoadResult(
            started_at=started_at,
            ended_at=started_at + self._now(),
            timings=self.timings,
            send_late_p99_s=_p99([t.sent_at - t.due_at for t in self.timings if t.sent_at is not None]),
            loop_late_p99_s=_p99(self.ticks_late_s),
        )

    async def _send_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for timing, message in zip(self.timings, self.messages, strict=True):
                delay_s = timing.due_at - self._now()
                if delay_s > 0:
                    await asyncio.sleep(delay_s)
                group.create_task(self._send(timing, message))

    async def _send(self, timing: RequestTiming, message: bytes) -> None:
        call = self.infer()
        timing.sent_at = self._now()
        finished = False
        try:
            await call.write(message)
            await call.done_writing()
            while (reply := await call.read()) is not grpc.aio.EOF:
                timing.last_at = self._now()
                timing.first_at = timing.first_at or timing.last_at
                timing.num_chunks += 1
                if reply[:1] == ERROR_FIELD:
                    timing.error = ModelStreamInferResponse.FromString(reply).error_message
            finished = True
            if timing.num_chunks == 0:
                timing.error = "the stream ended without an answer"
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            timing.error = _one_line(error, await call.code(), await call.details())
        finally:
            self.num_ended += 1
            if not finished:
                call.cancel()
                timing.error = timing.error or self.gave_up

    async def _tick(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_S)
            self.ticks_late_s.append(time.monotonic() - before - TICK_S)

    async def _report(self, on_progress: Callable[[int, int], None]) -> None:
        while True:
            on_progress(sum(timing.sent_at is not None for timing in self.timings), self.num_ended)
            await asyncio.sleep(PROGRESS_EVERY_S)

    def _now(self) -> float:
        return time.monotonic() - self.started


def _one_line(error: Exception, code: grpc.StatusCode | None, details: str | None) -> str:
    name = code.name if code is not None else type(error).__name__
    return f"{name}: {' '.join((details or '').split())}"


def _p99(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.99)) if values else 0.0
