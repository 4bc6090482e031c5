"""Triton's `generate` and `generate_stream` over HTTP, queued by dispatch.

The stream's 200 is held back until the first response has come, so that a request that fails while it
waits, or on its first token, gets a proper status; from then on an error is an event of the stream, as on
Triton. There is no `[DONE]`. When the caller leaves, aiohttp cancels the handler (`handler_cancellation`,
set by `http_app`), and closing the generation on the way out is what really cancels the request in the
engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from aiohttp import hdrs, web

from sagesched_gateway.api.generate_json import request_from_json, response_to_json, to_bytes
from sagesched_gateway.api.http_errors import error_body
from sagesched_gateway.api.http_passthrough import Passthrough
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.errors import GatewayError, InvalidRequestError
from sagesched_gateway.kserve import ModelInferResponse
from sagesched_gateway.request import Metadata, StopOrderError

Writer = Callable[[web.Request, Generation], Awaitable[web.StreamResponse]]

QUEUE_TIME_HEADER = "x-sagesched-queue-time"
"""Seconds the request waited in the gateway."""

_TRACE_HEADERS = ("traceparent", "tracestate")
_NOT_ONE_RESPONSE = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates "
    "various number of responses"
)


class GenerateFace:
    """Handlers of both generate endpoints; what is no generation goes to Triton as it is."""

    def __init__(self, dispatcher: Dispatcher, passthrough: Passthrough) -> None:
        self._dispatcher = dispatcher
        self._passthrough = passthrough

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """`POST /v2/models/M[/versions/V]/generate`: one JSON object."""
        return await self._answer(request, _single)

    async def generate_stream(self, request: web.Request) -> web.StreamResponse:
        """`POST /v2/models/M[/versions/V]/generate_stream`: server-sent events."""
        return await self._answer(request, _stream)

    async def _answer(self, request: web.Request, write: Writer) -> web.StreamResponse:
        model = request.match_info["model"]
        if not await self._dispatcher.resolve(model):
            return await self._passthrough.forward(request)
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
            raise InvalidRequestError("Unsupported content-encoding, only 'identity' is supported.")
        metadata = await self._dispatcher.metadata(model)
        body = await request.read()
        message = request_from_json(
            body, metadata, model=model, version=request.match_info.get("version", "")
        )
        try:
            generation = self._dispatcher.generate(message, metadata=_trace_context(request))
        except StopOrderError:
            return await self._passthrough.forward(request, body)
        async with aclosing(generation):
            return await write(request, generation)


async def _single(_: web.Request, generation: Generation) -> web.StreamResponse:
    body = to_bytes(response_to_json(await _only_response(generation)))
    headers = _queue_time_header(generation)
    return web.Response(body=body, content_type="application/json", headers=headers)


async def _only_response(generation: Generation) -> ModelInferResponse:
    first: ModelInferResponse | None = None
    async for response in generation:
        if first is not None:
            # Triton would run the request to its end and then say so; leaving now gives the engine back.
            raise InvalidRequestError(_NOT_ONE_RESPONSE)
        first = response
    if first is None:
        raise InvalidRequestError(_NOT_ONE_RESPONSE)
    return first


async def _stream(request: web.Request, generation: Generation) -> web.StreamResponse:
    stream: web.StreamResponse | None = None
    try:
        async for response in generation:
            event = _event(to_bytes(response_to_json(response)))
            if stream is None:
                stream = await _begin(request, generation)
            await stream.write(event)
        if stream is None:  # no response at all, and no error: an empty stream, as on Triton
            stream = await _begin(request, generation)
    except GatewayError as error:
        if stream is None:
            raise
        await stream.write(_event(error_body(error.message)))
    await stream.write_eof()
    return stream


async def _begin(request: web.Request, generation: Generation) -> web.StreamResponse:
    stream = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
            **_queue_time_header(generation),
        }
    )
    await stream.prepare(request)
    return stream


def _event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def _queue_time_header(generation: Generation) -> dict[str, str]:
    return {} if generation.queue_s is None else {QUEUE_TIME_HEADER: f"{generation.queue_s:.6f}"}


def _trace_context(request: web.Request) -> Metadata:
    return tuple((name, request.headers[name]) for name in _TRACE_HEADERS if name in request.headers)
