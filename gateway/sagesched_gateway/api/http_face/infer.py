"""Triton's `infer` over HTTP: for models that generate text and answer once, queued by dispatch.

A decoupled model is left to Triton, which refuses it here by itself; so is every other model, and, as on
gRPC, a prompt in shared memory.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from aiohttp import hdrs, web

from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.api.http_face.attributes import told_headers
from sagesched_gateway.api.http_face.beginning import begin
from sagesched_gateway.api.http_face.body import read_body
from sagesched_gateway.api.http_face.encoding import IDENTITY, accepted_encoding, compress, decompress
from sagesched_gateway.api.http_face.passthrough import Passthrough
from sagesched_gateway.api.json_form.infer_request import OutputKinds, header_length, request_from_infer
from sagesched_gateway.api.json_form.infer_response import response_to_infer
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.errors import InternalError
from sagesched_gateway.kserve import ModelInferRequest, ModelInferResponse
from sagesched_gateway.request import OutOfReachError, StopOrderError
from sagesched_gateway.settings.limits import Limits
from sagesched_gateway.text_tensors import refuse_classes_of_texts, refuse_cut_texts

HEADER_LENGTH = "Inference-Header-Content-Length"


class InferFace:
    """Handler of the infer endpoint."""

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

    async def infer(self, request: web.Request) -> web.StreamResponse:
        """`POST /v2/models/M[/versions/V]/infer`."""
        model = request.match_info["model"]
        if not await self._dispatcher.resolve(model) or self._dispatcher.is_decoupled(model):
            return await self._pass_on(request, model)
        body = await read_body(request, self._limits.message_bytes)
        message, kinds = await self._read(request, model, body)
        try:
            generation = begin(request, message, self._dispatcher, self._reader)
        except (StopOrderError, OutOfReachError):
            return await self._passthrough.forward(request, body)
        async with aclosing(generation):
            response = await _only_response(generation)
        return _answer(request, response, kinds, told_headers(request, self._reader, generation))

    async def _pass_on(self, request: web.Request, model: str) -> web.StreamResponse:
        """To Triton, untouched; only where an output is text it must be seen how that is wanted."""
        texts = self._dispatcher.text_outputs(model)
        if not texts or self._dispatcher.is_decoupled(model) or request.headers.get(HEADER_LENGTH) == "0":
            return await self._passthrough.forward(request)
        body = await read_body(request, self._limits.message_bytes)
        message, _ = await self._read(request, model, body)
        refuse_classes_of_texts(message, texts)
        return await self._passthrough.forward(request, body)

    async def _read(
        self, request: web.Request, model: str, body: bytes
    ) -> tuple[ModelInferRequest, OutputKinds]:
        limits = self._limits
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, IDENTITY)
        if encoding != IDENTITY:
            body = await asyncio.to_thread(decompress, body, encoding, limits.message_bytes)
        message, kinds = request_from_infer(
            body,
            header_length(request.headers.get(HEADER_LENGTH), len(body)),
            model=model,
            version=request.match_info.get("version", ""),
            json_depth=limits.json_depth,
        )
        refuse_cut_texts(message)
        return message, kinds


async def _only_response(generation: Generation) -> ModelInferResponse:
    responses = [response async for response in generation]
    if len(responses) != 1:
        raise InternalError(f"expected a single response, got {len(responses)}")
    return responses[0]


def _answer(
    request: web.Request, response: ModelInferResponse, kinds: OutputKinds, headers: dict[str, str]
) -> web.Response:
    body, head_bytes = response_to_infer(response, kinds)
    if head_bytes is None:
        headers[hdrs.CONTENT_TYPE] = "application/json"
    else:
        headers[hdrs.CONTENT_TYPE] = "application/octet-stream"
        headers[HEADER_LENGTH] = str(head_bytes)
    encoding = accepted_encoding(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    if encoding != IDENTITY:
        headers[hdrs.CONTENT_ENCODING] = encoding
    return web.Response(body=compress(body, encoding), headers=headers)
