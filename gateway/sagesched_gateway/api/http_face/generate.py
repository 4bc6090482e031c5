"""Triton's `generate` and `generate_stream` over HTTP, queued by dispatch.

The stream's 200 is held back until the first response has come, so that a request that fails while it
waits, or on its first token, gets a proper status; from then on an error is an event of the stream, as on
Triton. There is no `[DONE]`. When the caller leaves, aiohttp cancels the handler (`handler_cancellation`,
set by `app`), and closing the generation on the way out is what really cancels the request in the
engine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from aiohttp import hdrs, web

from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.api.http_face.attributes import told_headers
from sagesched_gateway.api.http_face.beginning import begin
from sagesched_gateway.api.http_face.body import read_body
from sagesched_gateway.api.http_face.errors import error_body
from sagesched_gateway.api.http_face.passthrough import Passthrough
from sagesched_gateway.api.http_face.sse import EventStream
from sagesched_gateway.api.json_form.generate import request_from_json, response_to_json, to_bytes
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.errors import GatewayError, InvalidRequestError
from sagesched_gateway.kserve import ModelInferResponse
from sagesched_gateway.request import StopOrderError
from sagesched_gateway.settings.limits import Limits

Writer = Callable[[web.Request, Generation], Awaitable[web.StreamResponse]]

_NOT_ONE_RESPONSE = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates "
    "various number of responses"
)


class GenerateFace:
    """Handlers of both generate endpoints; what is no generation goes to Triton as it is."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        passthrough: Passthrough,
        *,
        limits: Limits,
        reader: AttributeReader,
    ) -> None:
        self._dispatcher = dispatcher
        self._passthrough = passthrough
        self._limits = limits
        self._reader = reader

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """`POST /v2/models/M[/versions/V]/generate`: one JSON object."""
        return await self._answer(request, self._single)

    async def generate_stream(self, request: web.Request) -> web.StreamResponse:
        """`POST /v2/models/M[/versions/V]/generate_stream`: server-sent events."""
        return await self._answer(request, self._stream)

    async def _answer(self, request: web.Request, write: Writer) -> web.StreamResponse:
        model = request.match_info["model"]
        if not await self._dispatcher.resolve(model):
            return await self._passthrough.forward(request)
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
            raise InvalidRequestError("Unsupported content-encoding, only 'identity' is supported.")
        metadata = await self._dispatcher.metadata(model)
        body = await read_body(request, self._limits.message_bytes)
        message = request_from_json(
            body,
            metadata,
            model=model,
            version=request.match_info.get("version", ""),
            json_depth=self._limits.json_depth,
        )
        try:
            generation = begin(request, message, self._dispatcher, self._reader)
        except StopOrderError:
            return await self._passthrough.forward(request, body)
        async with aclosing(generation):
            return await write(request, generation)

    async def _single(self, request: web.Request, generation: Generation) -> web.StreamResponse:
        body = to_bytes(response_to_json(await _only_response(generation)))
        headers = told_headers(request, self._reader, generation)
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _stream(self, request: web.Request, generation: Generation) -> web.StreamResponse:
        stream = EventStream(request, unread_bytes=self._limits.unread_bytes)
        try:
            async for response in generation:
                event = to_bytes(response_to_json(response))
                if not stream.is_begun:
                    await stream.begin(told_headers(request, self._reader, generation))
                await stream.send(event)
        except GatewayError as error:
            if not stream.is_begun:
                raise
            await stream.send(error_body(error.message))
        if not stream.is_begun:  # no response at all, and no error: an empty stream, as on Triton
            await stream.begin(told_headers(request, self._reader, generation))
        return await stream.end()


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
