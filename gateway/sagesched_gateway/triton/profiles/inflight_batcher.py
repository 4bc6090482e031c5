"""The classic TensorRT-LLM repository `inflight_batcher_llm`: models `ensemble` and `tensorrt_llm`.

`ensemble` (text in, text out): text_input BYTES, max_tokens INT32, stream and return_num_*. Cancelling its
gRPC stream does not reach the running inner model, so a `stop` request with the same id goes
straight to `tensorrt_llm`.

`tensorrt_llm`: input_ids INT32, input_lengths INT32, request_output_len INT32. It sees no text; the prompt's
length is known exactly, its distribution is the pool's. Closing the stream cancels, polled each
`cancellation_check_period_ms`.

Both answer a chunk per token (or per k tokens) and can count: `num_output_tokens` per chunk, to be summed. An
answer that is not streamed repeats the prompt unless `exclude_input_in_output` is set, and the engine counts
the prompt among its output tokens then; it is subtracted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError
from sagesched_gateway.kserve import EMPTY_FINAL_PARAMETER, ModelInferRequest, ModelInferResponse
from sagesched_gateway.request import Chunk, GenerationRequest, Metadata, StopOrderError
from sagesched_gateway.text import Sampling, TextReader
from sagesched_gateway.triton.compose import Composer
from sagesched_gateway.triton.profiles.base import (
    Cancelling,
    ModelDescription,
    is_final,
    wants_empty_final,
)
from sagesched_gateway.triton.profiles.text_output import DeltaReader
from sagesched_gateway.triton.tensors import Inputs, add_flag, take_counts

NUM_INPUT_TOKENS = "num_input_tokens"
NUM_OUTPUT_TOKENS = "num_output_tokens"
_COUNTS = (NUM_INPUT_TOKENS, NUM_OUTPUT_TOKENS)
_EXCLUDE_INPUT = "exclude_input_in_output"
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_POLL_PERIOD_S = 0.1  # cancellation_check_period_ms, default
_ITERATION_S = 0.05  # a long iteration, on top of the poll period


class InflightBatcherProfile(ABC):
    """Tensors of the classic layout; `TextProfile` and `TokenProfile` differ in where the prompt is."""

    name = "inflight-batcher"
    takes_text = False
    _stream_input = ""

    def __init__(
        self, description: ModelDescription, stop_model: str | None, counts: tuple[str, ...]
    ) -> None:
        self.cancelling = Cancelling(stop_model=stop_model, hold_s=_POLL_PERIOD_S + _ITERATION_S)
        self._description = description
        self._has_batch_dimension = description.has_batch_dimension
        # A count is asked for only where the model offers both the flag and the output.
        self._countable = tuple(
            name for name in counts if f"return_{name}" in description.inputs and name in description.outputs
        )

    def read(
        self, message: ModelInferRequest, body: bytes, upstream_id: str, metadata: Metadata
    ) -> GenerationRequest:
        """Read prompt and cap, and put behind the message what Triton shall do besides."""
        inputs = Inputs(message)
        self._refuse_stop(message, inputs)
        prompt, prompt_tokens, batch = self._prompt(inputs)
        max_tokens = self._max_tokens(inputs)
        flags, outputs, hidden = self._wanted(message, inputs)
        addition = _addition(
            flags, outputs, batch if self._has_batch_dimension else None, bool(message.raw_input_contents)
        )
        own_id: bytes = ModelInferRequest(id=upstream_id).SerializeToString()
        return GenerationRequest(
            upstream_id=upstream_id,
            client_id=message.id,
            model=message.model_name,
            prompt=prompt,
            prompt_tokens=prompt_tokens,
            max_tokens=max_tokens,
            body=b"".join((body, addition, own_id)),
            counts_tokens=NUM_OUTPUT_TOKENS in self._countable or self._streams(inputs),
            echoes_prompt=self._echoes(inputs),
            hidden_outputs=hidden,
            wants_empty_final=wants_empty_final(message),
            metadata=metadata,
        )

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """See `Profile.compose`."""
        raise UnsupportedError(f"model '{model}' cannot be given text")

    def text_reader(self) -> TextReader:
        """See `Profile.text_reader`."""
        raise NotImplementedError

    def translate(self, response: ModelInferResponse, request: GenerationRequest) -> Chunk:
        """Count tokens, strip what the caller did not ask for, restore its id (see `Profile.translate`)."""
        final = is_final(response)
        if not response.outputs:
            shown = response if request.wants_empty_final or not final else None
            response.id = request.client_id
            return Chunk(shown, 0, final)
        input_tokens, counted = take_counts(response, _COUNTS, request.hidden_outputs)
        response.id = request.client_id
        new_tokens = 1 if counted is None else counted
        if counted is not None and request.echoes_prompt:
            new_tokens = max(counted - (input_tokens or request.prompt_tokens or 0), 0)
        return Chunk(response, new_tokens, final, None, input_tokens)

    def _refuse_stop(self, message: ModelInferRequest, inputs: Inputs) -> None:
        """Raise `StopOrderError` where the message is an order to stop; only engines take such orders."""
        del message, inputs

    @abstractmethod
    def _prompt(self, inputs: Inputs) -> tuple[str, int | None, int]:
        """Prompt text, its tokens where known, and the batch size."""

    @abstractmethod
    def _max_tokens(self, inputs: Inputs) -> int:
        """The cap on output tokens."""

    def _streams(self, inputs: Inputs) -> bool:
        """Whether tokens come one by one; only then is a chunk without a count one token."""
        name = self._stream_input
        return name in inputs and any(inputs.integers(name))

    def _echoes(self, inputs: Inputs) -> bool:
        """Whether the answer repeats the prompt: only whole answers do, unless told not to."""
        is_excluded = _EXCLUDE_INPUT in inputs and any(inputs.integers(_EXCLUDE_INPUT))
        return not self._streams(inputs) and not is_excluded

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


class TextProfile(InflightBatcherProfile):
    """`ensemble`: the prompt is text."""

    takes_text = True
    _stream_input = "stream"

    def __init__(
        self, description: ModelDescription, engine_model: str | None, *, counts_prompts: bool = True
    ) -> None:
        """Take a model.

        Args:
            description: the ensemble.
            engine_model: its `tensorrt_llm`; None where there is none to stop.
            counts_prompts: ask for the engine's count of each prompt too, to learn from.
        """
        super().__init__(description, engine_model, _COUNTS if counts_prompts else (NUM_OUTPUT_TOKENS,))

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """See `Profile.compose`."""
        composer = Composer(self._description, model)
        composer.refuse_alternatives(sampling)
        composer.put("text_input", prompt, field="the prompt")
        composer.put("max_tokens", sampling.max_tokens, field="max_tokens")
        if sampling.stream:
            composer.put("stream", True, field="stream")
        composer.put_if_offered(_EXCLUDE_INPUT, True)
        composer.put_sampling(sampling, _SAMPLING)
        if sampling.stop:
            composer.put("stop_words", sampling.stop, field="stop")
        if sampling.json_schema is not None:
            composer.put("guided_decoding_guide_type", "json_schema", field="json_schema")
            composer.put("guided_decoding_guide", sampling.json_schema, field="json_schema")
        for name in _COUNTS:
            if name in self._description.outputs:
                composer.put_if_offered(f"return_{name}", True)
        return composer.message

    def text_reader(self) -> TextReader:
        """See `Profile.text_reader`."""
        return DeltaReader(_COUNTS)

    def _prompt(self, inputs: Inputs) -> tuple[str, int | None, int]:
        texts = inputs.texts("text_input")
        if not texts:
            raise InvalidRequestError("input 'text_input' is empty")
        return "\n".join(texts), None, len(texts)

    def _max_tokens(self, inputs: Inputs) -> int:
        return _cap(inputs.integers("max_tokens"), "max_tokens")


class TokenProfile(InflightBatcherProfile):
    """`tensorrt_llm`, called directly: the prompt is token ids."""

    _stream_input = "streaming"

    def __init__(self, description: ModelDescription) -> None:
        super().__init__(description, None, (NUM_OUTPUT_TOKENS,))

    def _refuse_stop(self, message: ModelInferRequest, inputs: Inputs) -> None:
        if "stop" in inputs and any(inputs.integers("stop")):
            raise StopOrderError(message.id)

    def _prompt(self, inputs: Inputs) -> tuple[str, int | None, int]:
        lengths = inputs.integers("input_lengths")
        if not lengths:
            raise InvalidRequestError("input 'input_lengths' is empty")
        return "", max(sum(lengths), 1), len(lengths)

    def _max_tokens(self, inputs: Inputs) -> int:
        return _cap(inputs.integers("request_output_len"), "request_output_len")


def _cap(values: list[int], name: str) -> int:
    if not values or min(values) < 1:
        raise InvalidRequestError(f"input '{name}' must be at least 1")
    return sum(values)
