"""`TritonUpstream`: dispatch's port `Upstream`, spoken to Triton. `TritonCall`: one running request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc.aio

from sagesched_gateway.errors import GatewayError, InvalidRequestError, UnknownModelError, UpstreamError
from sagesched_gateway.kserve import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
    ModelStreamInferResponse,
)
from sagesched_gateway.log_fields import about
from sagesched_gateway.request import Chunk, GenerationRequest, Metadata
from sagesched_gateway.text import Sampling, TextReader
from sagesched_gateway.triton.cancel import stop_until_ended
from sagesched_gateway.triton.client import TritonClient, in_band_error
from sagesched_gateway.triton.http2.stream import StreamResetError
from sagesched_gateway.triton.metadata import ModelCatalog
from sagesched_gateway.triton.profiles.base import Profile
from sagesched_gateway.triton.profiles.chunk_size import ChunkCount
from sagesched_gateway.triton.profiles.text_output import TEXT_OUTPUT
from sagesched_gateway.triton.steady_stream import SteadyStream
from sagesched_gateway.triton.tensors import text_bytes

_LOG = logging.getLogger(__name__)

_NO_ID = "<id_unknown>"  # as Triton calls a request without one


class TritonUpstream:
    """Reads callers' messages by profile and opens one stream per request."""

    def __init__(self, client: TritonClient, catalog: ModelCatalog) -> None:
        self._client = client
        self._catalog = catalog

    def is_generation(self, model_name: str) -> bool:
        """See `Upstream.is_generation`."""
        return self._catalog.profile(model_name) is not None

    def is_decoupled(self, model_name: str) -> bool:
        """See `Upstream.is_decoupled`."""
        description = self._catalog.description(model_name)
        return description is not None and description.decoupled

    async def resolve(self, model_name: str) -> bool:
        """See `Upstream.resolve`."""
        return await self._catalog.resolve(model_name) is not None

    async def metadata(self, model_name: str) -> ModelMetadataResponse:
        """See `Upstream.metadata`."""
        return await self._catalog.metadata(model_name)

    def read(
        self, message: ModelInferRequest, body: bytes, upstream_id: str, metadata: Metadata
    ) -> GenerationRequest:
        """See `Upstream.read`."""
        profile = self._catalog.profile(message.model_name)
        if profile is None:
            raise InvalidRequestError(f"model '{message.model_name}' is not known as one that generates text")
        return profile.read(message, body, upstream_id, metadata)

    def text_outputs(self, model_name: str) -> frozenset[str]:
        """See `Upstream.text_outputs`."""
        description = self._catalog.description(model_name)
        outputs = () if description is None else description.metadata.outputs
        return frozenset(output.name for output in outputs if output.datatype == "BYTES")

    def text_models(self) -> tuple[str, ...]:
        """See `Upstream.text_models`."""
        return self._catalog.text_models()

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """See `Upstream.compose`."""
        return self._text_profile(model).compose(model, prompt, sampling)

    def text_reader(self, model: str) -> TextReader:
        """See `Upstream.text_reader`."""
        return self._text_profile(model).text_reader()

    def _text_profile(self, model: str) -> Profile:
        profile = self._catalog.profile(model)
        if profile is None or not profile.takes_text:
            raise UnknownModelError(f"no model '{model}' that takes text")
        return profile

    def open(self, request: GenerationRequest) -> TritonCall:
        """See `Upstream.open`.

        Raises:
            UpstreamError: the model was unloaded while the request waited.
        """
        profile = self._catalog.profile(request.model)
        if profile is None:
            raise UpstreamError(f"model '{request.model}' is no longer served", code="NOT_FOUND")
        return TritonCall(self._client, profile, request)


class TritonCall:
    """One running request; see `UpstreamCall`."""

    __slots__ = ("_call", "_chunks", "_client", "_ended", "_profile", "_request", "_steady")

    def __init__(self, client: TritonClient, profile: Profile, request: GenerationRequest) -> None:
        self._client = client
        self._profile = profile
        self._request = request
        self._steady = SteadyStream(None if _needs_whole(request) else profile.count_output)
        self._chunks = profile.chunk_count(request)
        self._ended = asyncio.Event()
        self._call = client.generate(request.body, request.metadata)

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        read, forward, is_ended = self._call.read, self._steady.forward, False
        try:
            while (message := await read()) is not grpc.aio.EOF:
                chunk = forward(message) or self._translate(message)
                if is_ended:
                    continue  # only the end of the stream is still to come
                if chunk.final:
                    is_ended = True
                    self._ended.set()
                yield chunk
        except grpc.aio.AioRpcError as error:
            if not self._ended.is_set():
                self._ended.set()
                yield self._failed(self._client.error_of(error))
        except asyncio.CancelledError:
            self._call.cancel()
            raise
        except StreamResetError:
            if not self._ended.is_set():
                # Our own `cancel` closed the stream: the engine notices a little later.
                await asyncio.sleep(self._profile.cancelling.hold_s)
                self._ended.set()
                yield Chunk(None, final=True, error=UpstreamError("cancelled", code="CANCELLED"))
        if not self._ended.is_set():
            self._ended.set()
            yield Chunk(None, final=True)

    def _translate(self, message: bytes) -> Chunk:
        decoded = ModelStreamInferResponse.FromString(message)
        if decoded.error_message:
            return self._failed(in_band_error(decoded.error_message))
        chunk = self._profile.translate(decoded.infer_response, self._request)
        if self._chunks is not None:
            return self._counted(chunk, decoded.infer_response, self._chunks)
        self._steady.learn(message, chunk)
        return chunk

    def _counted(self, chunk: Chunk, response: ModelInferResponse, chunks: ChunkCount) -> Chunk:
        """The chunk with its tokens counted by its text; all go the long way until they need no look."""
        if not chunk.new_tokens:
            return chunk
        text = (text_bytes(response, TEXT_OUTPUT) or b"").decode("utf-8", "replace")
        new_tokens = chunks.of(text, final=chunk.final)
        if chunks.is_settled:
            self._chunks = None
        return chunk._replace(new_tokens=new_tokens)

    def _failed(self, error: GatewayError) -> Chunk:
        """Triton names requests in its errors: by the caller's id, as it would have without us."""
        shown_id = self._request.client_id or _NO_ID
        error.message = error.message.replace(self._request.upstream_id, shown_id)
        error.args = (error.message,)
        return Chunk(None, final=True, error=error)

    async def cancel(self) -> None:
        """Stop the request in the engine, by id where its profile needs that, else by closing the stream.

        Where neither works, the iteration goes on to the engine's own end.
        """
        cancelling = self._profile.cancelling
        if not cancelling.is_possible:
            return
        stop_model = cancelling.stop_model
        if stop_model is not None:
            if await stop_until_ended(self._client, stop_model, self._request.upstream_id, self._ended):
                return
            _LOG.warning("did not end after stop; closing its stream", extra=about(self._request))
        if not self._ended.is_set():
            self._call.cancel()


def _needs_whole(request: GenerationRequest) -> bool:
    """Whether tokens can only be counted by looking at a whole response."""
    return request.echoes_prompt or request.counts_text
