"""A load for benches that must know what each caller got: its text, its refusal, and when.

One gRPC channel, a `ModelStreamInfer` stream per request, errors as status, so that what goes with them
(`retry-after-ms`, the error's word) can be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import grpc.aio
from tritonclient.grpc import InferResult

from sagesched_emulator.load import CHANNEL_OPTIONS, STREAM_INFER, LoadRequest, generate_message
from sagesched_gateway.kserve import ModelInferRequest, ModelStreamInferResponse

PREFIX = "x-sagesched-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to send.

    Attributes:
        request: what and when, engine seconds after the start.
        streams: in pieces, or whole.
        attributes: name -> value without the prefix, for example `tenant`.
        retries: how often it comes again when it is told when.
    """

    request: LoadRequest
    streams: bool = True
    attributes: tuple[tuple[str, str], ...] = ()
    retries: int = 0


@dataclass(slots=True, kw_only=True)
class Result:
    """What its caller got; instants in wall seconds after the load's start.

    Attributes:
        call: what was asked.
        due_at: when it was to be sent.
        first_at: its first response; None without one.
        last_at: its end; None where it failed.
        text: all of it.
        refusals: words of the errors it got, in order.
        retry_after_s: what these told it to wait, wall seconds, where they did.
    """

    call: Call
    due_at: float
    first_at: float | None = None
    last_at: float | None = None
    text: str = ""
    refusals: list[str] = field(default_factory=list)
    retry_after_s: list[float] = field(default_factory=list)

    @property
    def ttlt_s(self) -> float:
        """Arrival to last token, wall seconds; infinite where there was none."""
        return float("inf") if self.last_at is None else self.last_at - self.due_at


async def send(
    address: str, calls: Sequence[Call], *, time_scale: float, model: str = "ensemble"
) -> list[Result]:
    """Send all and wait for all answers."""
    loop = asyncio.get_running_loop()
    results = [Result(call=call, due_at=call.request.arrival_s * time_scale) for call in calls]
    messages = [_message(call, model) for call in calls]
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        await channel.channel_ready()
        method = channel.stream_stream(STREAM_INFER)
        started_at = loop.time()

        async def one(result: Result, message: bytes) -> None:
            for attempt in range(result.call.retries + 1):
                await _ask(method, message, result, started_at)
                if len(result.refusals) == attempt or len(result.retry_after_s) <= attempt:
                    return
                if attempt < result.call.retries:
                    await asyncio.sleep(result.retry_after_s[-1])

        async with asyncio.TaskGroup() as group:
            for result, message in zip(results, messages, strict=True):
                delay_s = started_at + result.due_at - loop.time()
                if delay_s > 0:
                    await asyncio.sleep(delay_s)
                group.create_task(one(result, message))
    return results


async def _ask(
    method: grpc.aio.StreamStreamMultiCallable, message: bytes, result: Result, started_at: float
) -> None:
    loop = asyncio.get_running_loop()
    attributes = [(PREFIX + name, value) for name, value in result.call.attributes]
    call = method(metadata=(("triton_grpc_error", "true"), *attributes))
    pieces = []
    try:
        await call.write(message)
        await call.done_writing()
        while (reply := await call.read()) is not grpc.aio.EOF:
            if result.first_at is None:
                result.first_at = loop.time() - started_at
            pieces.append(reply)
        result.last_at = loop.time() - started_at
        result.text = "".join(map(_text_of, pieces))
    except grpc.aio.AioRpcError as error:
        _note_refusal(result, error.code().name, error.trailing_metadata())
    except asyncio.InvalidStateError:
        code = await call.code()
        _note_refusal(result, code.name, await call.trailing_metadata())


def _note_refusal(result: Result, code: str, metadata: grpc.aio.Metadata | None) -> None:
    told = {str(key): str(value) for key, value in metadata or ()}
    result.refusals.append(told.get("x-sagesched-error", code))
    if "retry-after-ms" in told:
        result.retry_after_s.append(int(told["retry-after-ms"]) / 1000)


def _message(call: Call, model: str) -> bytes:
    message = ModelInferRequest.FromString(generate_message(call.request, model))
    if not call.streams:
        place = [tensor.name for tensor in message.inputs].index("stream")
        message.raw_input_contents[place] = b"\x00"
    serialized: bytes = message.SerializeToString()
    return serialized


def _text_of(reply: bytes) -> str:
    response = ModelStreamInferResponse.FromString(reply).infer_response
    values = InferResult(response).as_numpy("text_output")
    return "" if values is None else b"".join(values.reshape(-1).tolist()).decode("utf-8", "replace")
