"""`ModelCatalog`: what Triton serves, asked once per model, and the profile each model gets."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from sagesched_gateway.errors import GatewayError, UpstreamUnavailableError
from sagesched_gateway.kserve import (
    SERVICE,
    ModelConfigRequest,
    ModelConfigResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
)
from sagesched_gateway.triton.client import TritonClient
from sagesched_gateway.triton.profiles.base import ModelDescription, Profile
from sagesched_gateway.triton.profiles.inflight_batcher import BlsProfile
from sagesched_gateway.triton.profiles.registry import ProfileChoice, choose_profile, is_engine
from sagesched_gateway.triton.profiles.vllm import VllmProfile

_TIMEOUT_S = 5.0


class ModelCatalog:
    """Models by name, cached until the next `load`."""

    def __init__(self, client: TritonClient, choice: ProfileChoice | None = None) -> None:
        """Start empty.

        Args:
            client: to ask.
            choice: what the settings say about profiles.
        """
        self._client = client
        self._choice = choice or ProfileChoice()
        self._descriptions: dict[str, ModelDescription] = {}
        self._profiles: dict[str, Profile | None] = {}
        self._loading = asyncio.Lock()

    @property
    def engine(self) -> ModelDescription | None:
        """The `tensorrt_llm` model of the repository; the first by name where there are several."""
        engines = [d for d in self._descriptions.values() if is_engine(d)]
        return min(engines, key=lambda d: d.name, default=None)

    def profile(self, model: str) -> Profile | None:
        """The model's profile, from what is cached."""
        return self._profiles.get(model)

    def text_models(self) -> tuple[str, ...]:
        """Models that take prompts as text, from what is cached: ensembles first, bare engines last."""
        named = [
            (not self._descriptions[name].is_ensemble, is_engine(self._descriptions[name]), name)
            for name, profile in self._profiles.items()
            if profile is not None and profile.takes_text
        ]
        return tuple(name for *_, name in sorted(named))

    @property
    def most_at_once(self) -> int | None:
        """Requests that the models in front of the engine pass on at once; None where they set no bound.

        A bound there is only where all text goes through models whose instances work on one request at a
        time.
        """
        engine = self.engine
        fronts = [name for name in self.text_models() if engine is None or name != engine.name]
        if not fronts or not all(isinstance(self._profiles[name], BlsProfile) for name in fronts):
            return None
        return sum(self._descriptions[name].num_instances for name in fronts)

    @property
    def is_vllm(self) -> bool:
        """Whether what generates here is vLLM, which always grows KV as it goes."""
        known = [profile for profile in self._profiles.values() if profile is not None]
        return bool(known) and all(isinstance(profile, VllmProfile) for profile in known)

    def description(self, model: str) -> ModelDescription | None:
        """The model as Triton describes it, from what is cached."""
        return self._descriptions.get(model)

    async def load(self) -> None:
        """Ask for all ready models again; raises a GatewayError where Triton cannot be asked."""
        request = RepositoryIndexRequest(ready=True)
        index = await self._ask("RepositoryIndex", request, RepositoryIndexResponse)
        async with self._loading:
            names = sorted({model.name for model in index.models})
            self._take([await self._described(name) for name in names])

    async def fingerprint(self) -> bytes:
        """What Triton serves, as bytes to compare: they change when a model is loaded or unloaded.

        Raises:
            UpstreamUnavailableError: Triton cannot be asked.
        """
        request = RepositoryIndexRequest(ready=True)
        index = await self._ask("RepositoryIndex", request, RepositoryIndexResponse)
        lines = sorted(f"{model.name}/{model.version}={model.state}" for model in index.models)
        return "\n".join(lines).encode()

    async def resolve(self, model: str) -> Profile | None:
        """The model's profile, looked up where it is not cached.

        Raises:
            UpstreamUnavailableError: it is not cached and Triton cannot be asked.
        """
        if model not in self._profiles:
            try:
                await self.metadata(model)
            except UpstreamUnavailableError:
                raise
            except GatewayError:
                return None  # unknown to Triton, which will say so in its own words
        return self._profiles.get(model)

    async def metadata(self, model: str) -> ModelMetadataResponse:
        """The model's tensors; raises a GatewayError where Triton does not know it or cannot be asked."""
        if model not in self._descriptions:  # what is known waits for nobody
            async with self._loading:
                if model not in self._descriptions:
                    self._take([*self._descriptions.values(), await self._described(model)])
        return self._descriptions[model].metadata

    async def _described(self, model: str) -> ModelDescription:
        metadata = await self._ask("ModelMetadata", ModelMetadataRequest(name=model), ModelMetadataResponse)
        config = await self._ask("ModelConfig", ModelConfigRequest(name=model), ModelConfigResponse)
        return ModelDescription.of(metadata, config)

    def _take(self, descriptions: list[ModelDescription]) -> None:
        """Replace everything at once: a text model's profile depends on which engine is there."""
        self._descriptions = {description.name: description for description in descriptions}
        self._profiles = {
            name: choose_profile(description, self._engine_of(description), self._choice)
            for name, description in self._descriptions.items()
        }

    def _engine_of(self, description: ModelDescription) -> str | None:
        """The engine among an ensemble's steps, else the repository's."""
        for step in description.config.config.ensemble_scheduling.step:
            inner = self._descriptions.get(step.model_name)
            if inner is not None and is_engine(inner):
                return inner.name
        return self.engine.name if self.engine is not None else None

    async def _ask(self, method: str, request: Any, answer: Any) -> Any:
        path = f"/{SERVICE}/{method}"
        try:
            raw = await self._client.unary(path, request.SerializeToString(), timeout_s=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise self._client.error_of(error) from None
        return answer.FromString(raw)
