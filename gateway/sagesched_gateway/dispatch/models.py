"""`Models`: the models behind the gateway, as the faces ask for them."""

from __future__ import annotations

from sagesched_gateway.dispatch.ports import Upstream
from sagesched_gateway.kserve import ModelInferRequest, ModelMetadataResponse
from sagesched_gateway.text import Sampling, TextReader


class Models:
    """Passes questions about models on to Triton's side."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def is_generation(self, model_name: str) -> bool:
        """Whether the model is queued here, from what is cached; `resolve` looks unknown ones up."""
        return self._upstream.is_generation(model_name)

    def is_decoupled(self, model_name: str) -> bool:
        """Whether the model may answer a request with more than one response, from what is cached."""
        return self._upstream.is_decoupled(model_name)

    async def resolve(self, model_name: str) -> bool:
        """Whether the model is queued here, looked up where it is not cached.

        Raises:
            UpstreamUnavailableError: it is not cached and Triton cannot be asked.
        """
        return await self._upstream.resolve(model_name)

    async def metadata(self, model_name: str) -> ModelMetadataResponse:
        """The model's tensors, cached; raises a GatewayError where Triton cannot tell them."""
        return await self._upstream.metadata(model_name)

    def text_outputs(self, model_name: str) -> frozenset[str]:
        """Names of the model's outputs that are text, from what is cached."""
        return self._upstream.text_outputs(model_name)

    def text_models(self) -> tuple[str, ...]:
        """Models that take a prompt as text, from what is cached."""
        return self._upstream.text_models()

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """A message to a text model (see `Upstream.compose`)."""
        return self._upstream.compose(model, prompt, sampling)

    def text_reader(self, model: str) -> TextReader:
        """Reads the responses to what `compose` made (see `Upstream.text_reader`)."""
        return self._upstream.text_reader(model)
