"""gRPC clients of a storm: patient and impatient, slow, several requests on a stream, and hostile ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import grpc
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse

from sagesched_emulator.load import STREAM_INFER
from sagesched_emulator.storm.ledger import COMPLETE, LEFT, Ask, Ledger

ERROR_KEY = "x-sagesched-error"
IN_BAND = "in-band: "
FINAL = "triton_final_response"
EARLY_END = "stream ended early"
CUT_SHORT = "stream ended while it was written to"
_WRITE_FAILED = "Internal error from Core"
"""What grpc.aio says then; the status that the server gave is lost."""
_STATUS_METADATA = (("triton_grpc_error", "true"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a client behaves.

    Attributes:
        leaves_after: messages after which it goes away; None to stay.
        timeout_s: its deadline; None for none.
        pause_s: between two messages that it reads.
        half_closes: says at once that nothing more will come; else only when it has all answers.
        wants_status: asks for errors as a status of the stream.
        streams: asks for the answer token by token.
    """

    leaves_after: int | None = None
    timeout_s: float | None = None
    pause_s: float = 0.0
    half_closes: bool = True
    wants_status: bool = False
    streams: bool = True


def a_message(model: str, ask: Ask, *, streams: bool = True) -> ModelInferRequest:
    """A request to the classic text model."""
    message = ModelInferRequest(model_name=model, id=ask.id)
    text = ask.prompt.encode()
    contents = (
        ("text_input", "BYTES", len(text).to_bytes(4, "little") + text),
        ("max_tokens", "INT32", ask.tokens.to_bytes(4, "little")),
        ("stream", "BOOL", bytes([streams])),
        ("exclude_input_in_output", "BOOL", b"\x01"),
    )
    for name, datatype, raw in contents:
        message.inputs.add(name=name, datatype=datatype, shape=[1, 1])
        message.raw_input_contents.append(raw)
    return message


async def converse(
    channel: grpc.aio.Channel,
    ledger: Ledger,
    asks: Sequence[Ask],
    messages: Sequence[bytes],
    manner: Manner,
) -> None:
    """Send messages on one stream, hear the answers, and tell the ledger how each request ended.

    An answer without an id is that to the last of `asks`: only a message that cannot be read has none.
    """
    open_ids = {ask.id for ask in asks}
    call = channel.stream_stream(STREAM_INFER)(
        timeout=manner.timeout_s, metadata=_STATUS_METADATA if manner.wants_status else None
    )
    try:
        await _send(call, messages, manner)
        how = await _listen(call, ledger, open_ids, asks[-1].id, manner)
    except grpc.aio.AioRpcError as error:
        how = error_name(error)
    for id in open_ids:
        ledger.ended(id, how)


async def _send(call: grpc.aio.StreamStreamCall, messages: Sequence[bytes], manner: Manner) -> None:
    try:
        for message in messages:
            await call.write(message)
        if manner.half_closes:
            await call.done_writing()
    except asyncio.InvalidStateError:
        pass  # the call has ended: reading tells why


async def _listen(
    call: grpc.aio.StreamStreamCall, ledger: Ledger, open_ids: set[str], nameless: str, manner: Manner
) -> str:
    """Read to the end; how it ended for those that are still open."""
    num_read = 0
    while num_read != manner.leaves_after:
        if (body := await call.read()) is grpc.aio.EOF:
            return EARLY_END
        num_read += 1
        _hear(ledger, body, open_ids, nameless)
        if not open_ids and not manner.half_closes:
            await call.done_writing()
            manner = replace(manner, half_closes=True)
        await asyncio.sleep(manner.pause_s)
    call.cancel()
    return LEFT


def _hear(ledger: Ledger, body: bytes, open_ids: set[str], nameless: str) -> None:
    answer = ModelStreamInferResponse.FromString(body)
    id = answer.infer_response.id or nameless
    if answer.error_message:
        open_ids.discard(id)
        ledger.ended(id, f"{IN_BAND}{answer.error_message}")
        return
    ledger.heard(id, text_of(answer.infer_response))
    if answer.infer_response.parameters[FINAL].bool_param:
        open_ids.discard(id)
        ledger.ended(id, COMPLETE)


def text_of(response: ModelInferResponse) -> str:
    """The response's `text_output`."""
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.name == "text_output":
            text: str = raw[4:].decode()
            return text
    return ""


def error_name(error: grpc.aio.AioRpcError) -> str:
    """The gateway's word where it has one, else the status code and what goes with it."""
    if error.details() == _WRITE_FAILED:
        return CUT_SHORT
    trailing = dict(error.trailing_metadata() or ())
    return str(trailing.get(ERROR_KEY) or f"{error.code().name}: {error.details()}")
