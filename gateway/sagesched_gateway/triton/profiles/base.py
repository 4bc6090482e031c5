"""`Profile`: how one kind of model takes a prompt and gives tokens, both ways.

A profile is chosen per model from its metadata. Everything that knows a tensor's name lives in this folder.
Towards Triton goes what the caller sent, byte for byte, and behind it what the gateway adds: its own id, the
opt-in to the final response, and the counts that it needs and later strips. Serialized messages that follow
one another merge: the last id wins, tensors and parameters add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from sagesched_gateway.kserve import (
    EMPTY_FINAL_PARAMETER,
    FINAL_PARAMETER,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
)
from sagesched_gateway.request import Chunk, GenerationRequest, Metadata
from sagesched_gateway.text import Sampling, TextReader
from sagesched_gateway.triton.profiles.chunk_size import ChunkCount


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

    @property
    def is_ensemble(self) -> bool:
        """Whether it is made of other models."""
        return bool(self.config.config.platform == "ensemble")

    @property
    def num_instances(self) -> int:
        """How many requests its instances work on at once, where each takes one at a time."""
        groups = self.config.config.instance_group
        counts = [int(max(group.count, 1)) * max(len(group.gpus), 1) for group in groups]
        return max(sum(counts), 1)

    def has_parameter(self, name: str) -> bool:
        """Whether its configuration has a parameter of that name."""
        return name in self.config.config.parameters

    def parameter(self, name: str) -> str:
        """A parameter of its configuration; empty where it has none."""
        parameters = self.config.config.parameters
        return str(parameters[name].string_value).strip() if name in parameters else ""

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
        is_possible: False where nothing works: the request keeps its place until the engine's own end of it,
            and only its caller is let go.
    """

    stop_model: str | None
    hold_s: float
    is_possible: bool = True


class Profile(Protocol):
    """Tensor contract of one kind of model.

    Attributes:
        name: as in the setting `profiles`.
        cancelling: how a running request is cancelled.
        takes_text: prompts are text, so that `compose` and `text_reader` work.
        count_output: the output that counts a response's tokens, where the responses of a stream need nothing
            but that to be read (see `SteadyStream`); None where `translate` must see each.
    """

    name: ClassVar[str]
    cancelling: Cancelling
    takes_text: bool
    count_output: str | None

    def read(
        self, message: ModelInferRequest, body: bytes, upstream_id: str, metadata: Metadata
    ) -> GenerationRequest:
        """Read a caller's message and say what goes upstream.

        Args:
            message: the caller's, left as it is.
            body: the same, serialized.
            upstream_id: the gateway's id for it.
            metadata: passed on.

        Raises:
            InvalidRequestError: the message cannot be read.
        """
        ...

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """A message to the model, as one of its clients would write it; counts are asked for.

        Raises:
            UnsupportedError: models of this kind cannot do what is asked.
        """
        ...

    def text_reader(self) -> TextReader:
        """Reads the responses to one request that `compose` made."""
        ...

    def chunk_count(self, request: GenerationRequest) -> ChunkCount | None:
        """Counts the tokens of the answer's chunks by their text; None where a look at each is not needed.

        To be asked once for each request that is sent.
        """
        ...

    def translate(self, response: ModelInferResponse, request: GenerationRequest) -> Chunk:
        """Read a response of Triton and edit it (in place) into what the caller must see."""
        ...


def wants_empty_final(message: ModelInferRequest) -> bool:
    """Whether the caller asked for a final response even where it is empty."""
    asked = message.parameters.get(EMPTY_FINAL_PARAMETER)
    return asked is not None and bool(asked.bool_param)


def is_final(response: ModelInferResponse) -> bool:
    """Whether this is the last response of its request."""
    final = response.parameters.get(FINAL_PARAMETER)
    return final is not None and bool(final.bool_param)
