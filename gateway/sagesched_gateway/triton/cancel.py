"""Cancelling a running request so that the engine really stops.

Closing the gRPC stream of an `ensemble` does not reach its running inner model. What does is a request to the
engine model with the same id and `stop` true. The engine answers an unknown id with silence, so a stop that
overtakes the request on its way through preprocessing would be lost: it is repeated until the request's own
end comes.
"""

from __future__ import annotations

import asyncio
import logging

import grpc.aio

from sagesched_gateway.kserve import EMPTY_FINAL_PARAMETER, ModelInferRequest
from sagesched_gateway.triton.client import TritonClient

_LOG = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""How long a stopped request may take to end before its stream is closed as well."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.4
_INTEGERS = (("input_ids", 0), ("input_lengths", 0), ("request_output_len", 0))
_FLAGS = ("stop", "streaming")


def build_stop(model: str, upstream_id: str) -> ModelInferRequest:
    """The `stop` request of TensorRT-LLM's backend for a request id."""
    message = ModelInferRequest(model_name=model, id=upstream_id)
    message.parameters[EMPTY_FINAL_PARAMETER].bool_param = True
    for name, value in _INTEGERS:
        tensor = message.inputs.add(name=name, datatype="INT32", shape=[1, 1])
        tensor.contents.int_contents.append(value)
    for name in _FLAGS:
        tensor = message.inputs.add(name=name, datatype="BOOL", shape=[1, 1])
        tensor.contents.bool_contents.append(True)
    return message


async def stop_until_ended(client: TritonClient, model: str, upstream_id: str, ended: asyncio.Event) -> bool:
    """Send `stop` until the request has ended; returns whether it ended within `PATIENCE_S`."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + PATIENCE_S
    pause_s = _FIRST_PAUSE_S
    while not ended.is_set() and loop.time() < give_up_at:
        await _send_stop(client, model, upstream_id)
        try:
            async with asyncio.timeout(pause_s):
                await ended.wait()
        except TimeoutError:
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return ended.is_set()


async def _send_stop(client: TritonClient, model: str, upstream_id: str) -> None:
    call = client.generate(build_stop(model, upstream_id).SerializeToString(), ())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await call.read() is not grpc.aio.EOF:
                pass
    except TimeoutError:
        call.cancel()
    except grpc.aio.AioRpcError as error:
        # The PyTorch backend answers a stop with CANCELLED; anything else is worth a line, the stream is
        # closed anyway.
        if error.code() is not grpc.StatusCode.CANCELLED:
            _LOG.warning("stop of %s in %s failed: %s", upstream_id, model, error.details())
