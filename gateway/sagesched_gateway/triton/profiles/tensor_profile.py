"""`TensorProfile`: what all kinds of models have in common, told apart by a few names and answers.

A subclass says where prompt, cap and flags are. Counts are asked for only where the model offers both the
flag (`return_num_output_tokens`) and the output (`num_output_tokens`), and stripped where the caller did not
ask for them itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import ClassVar, TypedDict

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError
from sagesched_gateway.kserve import EMPTY_FINAL_PARAMETER, ModelInferRequest, ModelInferResponse
from sagesched_gateway.request import (
    Chunk,
    GenerationRequest,
    Metadata,
    MissingInputError,
    StopOrderError,
)
from sagesched_gateway.text import Sampling, TextReader
from sagesched_gateway.tokenizer import ModelTokenizer
from sagesched_gateway.triton.profiles.base import (
    Cancelling,
    ModelDescription,
    is_final,
    wants_empty_final,
)
from sagesched_gateway.triton.profiles.chunk_size import ChunkCount
from sagesched_gateway.triton.profiles.text_output import TEXT_OUTPUT
from sagesched_gateway.triton.tensors import Inputs, add_flag, take_counts, text_bytes

NUM_INPUT_TOKENS = "num_input_tokens"
NUM_OUTPUT_TOKENS = "num_output_tokens"
COUNTS = (NUM_INPUT_TOKENS, NUM_OUTPUT_TOKENS)


class SamplingHints(TypedDict):
    """Of `GenerationRequest`, the fields that `TensorProfile._sampling` finds out."""

    temperature: float | None
    top_p: float | None
    wants_json: bool


class TensorProfile(ABC):
    """See `Profile`."""

    name: ClassVar[str]
    stream_input: ClassVar[str]
    """Flag that asks for an answer in pieces."""

    exclude_input: ClassVar[str]
    """Flag that keeps the prompt out of a whole answer."""

    sampling_inputs: ClassVar[dict[str, str]] = {}
    """The model's inputs by the field of `Sampling`."""

    guide_input: ClassVar[str] = "guided_decoding_guide"
    """Schema or grammar that an answer must follow."""

    counts_echo: ClassVar[bool] = True
    """Where the answer repeats the prompt, the prompt is counted among the output tokens."""

    takes_text = False
    count_output: str | None = NUM_OUTPUT_TOKENS

    def __init__(
        self,
        description: ModelDescription,
        cancelling: Cancelling,
        counts: tuple[str, ...],
        tokenizer: ModelTokenizer | None = None,
    ) -> None:
        """Take a model.

        Args:
            description: the model.
            cancelling: how its requests are cancelled.
            counts: outputs to ask for, where the model has them.
            tokenizer: of the model, where one is configured.
        """
        self.cancelling = cancelling
        self._description = description
        self._tokenizer = tokenizer
        needed = [tensor.name for tensor in description.config.config.input if not tensor.optional]
        self._required = tuple(needed) if description.is_ensemble else ()
        self._countable = tuple(
            name for name in counts if f"return_{name}" in description.inputs and name in description.outputs
        )

    def read(
        self, message: ModelInferRequest, body: bytes, upstream_id: str, metadata: Metadata
    ) -> GenerationRequest:
        """Read prompt and cap, and put behind the message what Triton shall do besides."""
        inputs = Inputs(message)
        refuse_classification(message)  # before all that may be left to Triton
        self._check(message, inputs)
        self._refuse_missing(message, inputs)
        prompt, prompt_tokens, batch = self._prompt(inputs)
        max_tokens = self._max_tokens(inputs)
        flags, outputs, hidden = self._wanted(message, inputs)
        addition = _addition(
            flags,
            outputs,
            batch if self._description.has_batch_dimension else None,
            bool(message.raw_input_contents),
        )
        own_id: bytes = ModelInferRequest(id=upstream_id).SerializeToString()
        streams = self._is_set(inputs, self.stream_input)
        is_counted = NUM_OUTPUT_TOKENS in self._countable
        counts_text = self.takes_text and not is_counted and not streams and self._tokenizer is not None
        return GenerationRequest(
            upstream_id=upstream_id,
            client_id=message.id,
            model=message.model_name,
            prompt=prompt,
            prompt_tokens=prompt_tokens,
            max_tokens=max_tokens,
            body=b"".join((body, addition, own_id)),
            counts_tokens=is_counted or counts_text or streams,
            counts_text=counts_text,
            echoes_prompt=not streams and not self._is_set(inputs, self.exclude_input),
            streams=streams,
            can_be_cancelled=self.cancelling.is_possible,
            hidden_outputs=hidden,
            wants_empty_final=wants_empty_final(message),
            metadata=metadata,
            **self._sampling(inputs),
        )

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """See `Profile.compose`."""
        raise UnsupportedError(f"model '{model}' cannot be given text")

    def text_reader(self) -> TextReader:
        """See `Profile.text_reader`."""
        raise UnsupportedError(f"model '{self._description.name}' answers with no text")

    def chunk_count(self, request: GenerationRequest) -> ChunkCount | None:
        """See `Profile.chunk_count`: the engine counts."""
        del request
        return None

    def translate(self, response: ModelInferResponse, request: GenerationRequest) -> Chunk:
        """Count tokens, strip what the caller did not ask for, restore its id (see `Profile.translate`)."""
        final = is_final(response)
        if not response.outputs:
            shown = response if request.wants_empty_final or not final else None
            response.id = request.client_id
            return Chunk(shown, 0, final)
        input_tokens, counted = take_counts(response, COUNTS, request.hidden_outputs)
        response.id = request.client_id
        if counted is None:
            new_tokens = self._count_text(response, request) if request.counts_text else 1
        elif request.echoes_prompt and self.counts_echo:
            new_tokens = max(counted - (input_tokens or request.prompt_tokens or 0), 0)
        else:
            new_tokens = counted
        return Chunk(response, new_tokens, final, None, input_tokens)

    def _refuse_missing(self, message: ModelInferRequest, inputs: Inputs) -> None:
        """Raise `MissingInputError` where Triton would not notice."""
        if len(message.inputs) >= len(self._required):
            for name in self._required:
                if name not in inputs:
                    raise MissingInputError(name)

    @abstractmethod
    def _prompt(self, inputs: Inputs) -> tuple[str, int | None, int]:
        """Prompt text, its tokens where known, and the batch size."""

    @abstractmethod
    def _max_tokens(self, inputs: Inputs) -> int:
        """The cap on output tokens."""

    def _sampling(self, inputs: Inputs) -> SamplingHints:
        """How the answer is drawn, as far as it tells how long that will be; never refuses anything."""
        names = self.sampling_inputs
        greedy = inputs.number(names["top_k"]) == 1
        return SamplingHints(
            temperature=0.0 if greedy else inputs.number(names["temperature"]),
            top_p=inputs.number(names["top_p"]),
            wants_json=self.guide_input in inputs,
        )

    def _check(self, message: ModelInferRequest, inputs: Inputs) -> None:
        """Raise `StopOrderError` or InvalidRequestError where the message is not to be sent as it is."""
        del message, inputs

    def _count_text(self, response: ModelInferResponse, request: GenerationRequest) -> int:
        """Tokens of a whole answer, by the tokenizer."""
        assert self._tokenizer is not None
        text = (text_bytes(response, TEXT_OUTPUT) or b"").decode("utf-8", "replace")
        if request.echoes_prompt:
            text = text.removeprefix(request.prompt)
        return len(self._tokenizer.encode(text))

    @staticmethod
    def _is_set(inputs: Inputs, name: str) -> bool:
        """Whether a flag is there and true."""
        return name in inputs and any(inputs.integers(name))

    def _wanted(
        self, message: ModelInferRequest, inputs: Inputs
    ) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
        """Flags to set and outputs to list that the caller did not, and the outputs to strip for it."""
        limited = {output.name for output in message.outputs}
        # A count that the caller lists is left to it, flag and all.
        counts = [name for name in self._countable if name not in limited]
        flags = tuple(name for name in counts if f"return_{name}" not in inputs)
        outputs = tuple(counts) if limited else ()
        return flags, outputs, frozenset(outputs or flags)


def refuse_stop(message: ModelInferRequest, inputs: Inputs) -> None:
    """Raise `StopOrderError` where the message generates nothing but stops an earlier request of its id."""
    if "stop" in inputs and any(inputs.integers("stop")):
        raise StopOrderError(message.id)


def refuse_classification(message: ModelInferRequest) -> None:
    """Raise UnsupportedError where an output is wanted as classes: asked so for text, Triton 2.51 crashes."""
    for output in message.outputs:
        if "classification" in output.parameters:
            raise UnsupportedError(
                f"output '{output.name}' of a model that generates text has no classification",
                field=output.name,
            )


def text_prompt(inputs: Inputs) -> tuple[str, int | None, int]:
    """The prompt in `text_input`, see `TensorProfile._prompt`."""
    texts = inputs.texts("text_input")
    if not texts:
        raise InvalidRequestError("input 'text_input' is empty")
    return "\n".join(texts), None, len(texts)


def cap(values: list[int], name: str) -> int:
    """The sum of caps; raises InvalidRequestError where one is below 1."""
    if not values or min(values) < 1:
        raise InvalidRequestError(f"input '{name}' must be at least 1")
    return sum(values)


@lru_cache(maxsize=256)
def _addition(flags: tuple[str, ...], outputs: tuple[str, ...], batch: int | None, raw: bool) -> bytes:
    """What is put behind a caller's message: few forms, made once each."""
    message = ModelInferRequest()
    message.parameters[EMPTY_FINAL_PARAMETER].bool_param = True
    for name in flags:
        add_flag(message, f"return_{name}", batch=batch, raw=raw)
    for name in outputs:
        message.outputs.add(name=name)
    encoded: bytes = message.SerializeToString()
    return encoded
