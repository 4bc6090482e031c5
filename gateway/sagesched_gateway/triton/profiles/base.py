"""`Profile`: how one kind of model takes a prompt and gives tokens, both ways.

A profile is chosen per model from its metadata. Everything that knows a tensor's name lives in this folder.
The rule for editing: byte for byte what the caller sent, but for the id, the opt-in to the final response,
and the counts that the gateway needs and later strips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sagesched_gateway.kserve import (
    EMPTY_FINAL_PARAMETER,
    FINAL_PARAMETER,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
)
from sagesched_gateway.request import Chunk, GenerationRequest, Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What Triton tells about a model.

    Attributes:
        name: the model's name.
        inputs: names of its input tensors.
        outputs: names of its output tensors.
        has_batch_dimension: tensors carry a leading batch dimension.
        decoupled: answers a request with any number of responses; such a model has no unary ModelInfer.
        metadata: as Triton gave it.
        config: as Triton gave it.
    """

    name: str
    inputs: frozenset[str]
    outputs: frozenset[str]
    has_batch_dimension: bool
    decoupled: bool
    metadata: ModelMetadataResponse
    config: ModelConfigResponse

    @classmethod
    def of(cls, metadata: ModelMetadataResponse, config: ModelConfigResponse) -> ModelDescription:
        """Read both answers of Triton."""
        return cls(
            name=metadata.name,
            inputs=frozenset(tensor.name for tensor in metadata.inputs),
            outputs=frozenset(tensor.name for tensor in metadata.outputs),
            has_batch_dimension=config.config.max_batch_size > 0,
            decoupled=config.config.model_transaction_policy.decoupled,
            metadata=metadata,
            config=config,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelling:
    """How a running request of a profile is cancelled in the engine.

    Attributes:
        stop_model: model that takes a `stop` request by id; None where closing the stream is enough.
        hold_s: seconds after closing the stream until the engine has surely noticed.
    """

    stop_model: str | None
    hold_s: float


class Profile(Protocol):
    """Tensor contract of one kind of model."""

    name: str
    cancelling: Cancelling

    def read(self, message: ModelInferRequest, upstream_id: str, metadata: Metadata) -> GenerationRequest:
        """Read a caller's message and edit it (in place) into what goes upstream.

        Raises:
            InvalidRequestError: the message cannot be read.
        """
        ...

    def translate(self, response: ModelInferResponse, request: GenerationRequest) -> Chunk:
        """Read a response of Triton and edit it (in place) into what the caller must see."""
        ...


def opt_in_to_final(message: ModelInferRequest) -> bool:
    """Ask for a final response even where it is empty; returns whether the caller had asked for it itself."""
    asked = (
        EMPTY_FINAL_PARAMETER in message.parameters and message.parameters[EMPTY_FINAL_PARAMETER].bool_param
    )
    message.parameters[EMPTY_FINAL_PARAMETER].bool_param = True
    return bool(asked)


def is_final(response: ModelInferResponse) -> bool:
    """Whether this is the last response of its request."""
    final = response.parameters.get(FINAL_PARAMETER)
    return final is not None and bool(final.bool_param)
