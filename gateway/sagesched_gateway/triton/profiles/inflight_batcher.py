"""The classic TensorRT-LLM repository `inflight_batcher_llm`: three models to call, one engine.

`ensemble` (text in, text out): text_input BYTES, max_tokens INT32, stream and return_num_*. Cancelling its
gRPC stream does not reach the running inner model, so a `stop` request with the same id goes
straight to `tensorrt_llm`.

`tensorrt_llm_bls` takes the same tensors. It gives its inner request an id of its own and never looks whether
it is cancelled, so nothing stops it; each of its instances serves one request at a time. With the parameter
`accumulate_tokens` each response of a stream repeats all text so far. Its last response is empty.

`tensorrt_llm`: input_ids INT32, input_lengths INT32, request_output_len INT32. It sees no text; the prompt's
length is known exactly, its distribution is the pool's. Closing the stream cancels, polled each
`cancellation_check_period_ms`. With the model's tokenizer the gateway itself can turn text into its tensors.

All answer a chunk per token (or per k tokens) and can count: `num_output_tokens` per chunk, to be summed. An
answer that is not streamed repeats the prompt unless `exclude_input_in_output` is set, and the engine counts
the prompt among its output tokens then; it is subtracted.
"""

from __future__ import annotations

from sagesched_gateway.errors import InvalidRequestError
from sagesched_gateway.kserve import ModelInferRequest, ModelInferResponse
from sagesched_gateway.text import Sampling, TextPiece, TextReader
from sagesched_gateway.tokenizer import IncrementalText, ModelTokenizer
from sagesched_gateway.triton.compose import Composer
from sagesched_gateway.triton.profiles.base import Cancelling, ModelDescription
from sagesched_gateway.triton.profiles.tensor_profile import (
    COUNTS,
    NUM_OUTPUT_TOKENS,
    TensorProfile,
    cap,
    refuse_stop,
    text_prompt,
)
from sagesched_gateway.triton.profiles.text_output import AnswerReader, TextStyle
from sagesched_gateway.triton.tensors import Inputs, output_integers, take_counts

ACCUMULATE_TOKENS = "accumulate_tokens"
"""Parameter of `tensorrt_llm_bls`: each response of a stream repeats all text so far."""

_TRUE = ("true", "yes", "1", "t")  # as the model itself reads it
_EXCLUDE_INPUT = "exclude_input_in_output"
_TEXT_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_TOKEN_SAMPLING = _TEXT_SAMPLING | {"top_p": "runtime_top_p", "top_k": "runtime_top_k"}
_POLL_PERIOD_S = 0.1  # cancellation_check_period_ms, default
_ITERATION_S = 0.05  # a long iteration, on top of the poll period
_HOLD_S = _POLL_PERIOD_S + _ITERATION_S


class InflightBatcherProfile(TensorProfile):
    """What the three models have in common."""

    name = "inflight-batcher"
    exclude_input = _EXCLUDE_INPUT
    sampling_inputs = _TEXT_SAMPLING

    def _begin(self, model: str, sampling: Sampling, sampling_names: dict[str, str]) -> Composer:
        """A message with all but prompt, cap and stop words."""
        composer = Composer(self._description, model)
        composer.refuse_alternatives(sampling)
        if sampling.stream:
            composer.put(self.stream_input, True, field="stream")
        composer.put_if_offered(_EXCLUDE_INPUT, True)
        composer.put_sampling(sampling, sampling_names)
        if sampling.json_schema is not None:
            composer.put("guided_decoding_guide_type", "json_schema", field="json_schema")
            composer.put("guided_decoding_guide", sampling.json_schema, field="json_schema")
        for name in COUNTS:
            if name in self._description.outputs:
                composer.put_if_offered(f"return_{name}", True)
        return composer


class TextProfile(InflightBatcherProfile):
    """`ensemble`: the prompt is text."""

    takes_text = True
    stream_input = "stream"

    def __init__(
        self,
        description: ModelDescription,
        engine_model: str | None,
        *,
        counts_prompts: bool = True,
        tokenizer: ModelTokenizer | None = None,
    ) -> None:
        """Take a model.

        Args:
            description: the ensemble.
            engine_model: its `tensorrt_llm`; None where there is none to stop.
            counts_prompts: ask for the engine's count of each prompt too, to learn from.
            tokenizer: of the model, where one is configured.
        """
        cancelling = Cancelling(stop_model=engine_model, hold_s=_HOLD_S)
        super().__init__(
            description, cancelling, COUNTS if counts_prompts else (NUM_OUTPUT_TOKENS,), tokenizer
        )
        self._style = TextStyle(is_cumulative=False)

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """See `Profile.compose`."""
        composer = self._begin(model, sampling, _TEXT_SAMPLING)
        composer.put("text_input", prompt, field="the prompt")
        composer.put("max_tokens", sampling.max_tokens, field="max_tokens")
        if sampling.stop:
            composer.put("stop_words", sampling.stop, field="stop")
        return composer.message

    def text_reader(self) -> TextReader:
        """See `Profile.text_reader`."""
        return AnswerReader(self._style.pieces(), COUNTS)

    def _prompt(self, inputs: Inputs) -> tuple[str, int | None, int]:
        return text_prompt(inputs)

    def _max_tokens(self, inputs: Inputs) -> int:
        return cap(inputs.integers("max_tokens"), "max_tokens")


class BlsProfile(TextProfile):
    """`tensorrt_llm_bls`: the same tensors, and no way to cancel."""

    def __init__(
        self,
        description: ModelDescription,
        *,
        counts_prompts: bool = True,
        tokenizer: ModelTokenizer | None = None,
    ) -> None:
        """Take a model; arguments as for `TextProfile`."""
        super().__init__(description, None, counts_prompts=counts_prompts, tokenizer=tokenizer)
        self.cancelling = Cancelling(stop_model=None, hold_s=0.0, is_possible=False)
        accumulates = description.parameter(ACCUMULATE_TOKENS).lower() in _TRUE
        self._style = TextStyle(is_cumulative=accumulates)


class TokenProfile(InflightBatcherProfile):
    """`tensorrt_llm`, called directly: the prompt is token ids."""

    stream_input = "streaming"
    sampling_inputs = _TOKEN_SAMPLING

    def __init__(self, description: ModelDescription, tokenizer: ModelTokenizer | None = None) -> None:
        """Take a model; with its tokenizer it takes text."""
        # By `stop`, whoever asked for one by id gets the engine's own last response, not a broken stream.
        stop_model = description.name if "stop" in description.inputs else None
        cancelling = Cancelling(stop_model=stop_model, hold_s=_HOLD_S)
        super().__init__(description, cancelling, (NUM_OUTPUT_TOKENS,), tokenizer)
        self.takes_text = tokenizer is not None

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """See `Profile.compose`: the gateway does what preprocessing would."""
        tokenizer = self._tokenizer
        if tokenizer is None:
            return super().compose(model, prompt, sampling)
        composer = self._begin(model, sampling, _TOKEN_SAMPLING)
        try:
            ids = tokenizer.encode_prompt(prompt)
        except (TypeError, ValueError) as error:  # half of a surrogate pair
            raise InvalidRequestError(f"the prompt is no text that can be encoded: {error}") from None
        if not ids:
            raise InvalidRequestError("the prompt is empty: it has no token")
        composer.put("input_ids", ids, field="the prompt")
        composer.put("input_lengths", len(ids), field="the prompt")
        composer.put("request_output_len", sampling.max_tokens, field="max_tokens")
        if tokenizer.end_id is not None:
            composer.put_if_offered("end_id", tokenizer.end_id)
            composer.put_if_offered("pad_id", tokenizer.end_id)
        if sampling.stop:
            words = _word_list([tokenizer.encode(word) for word in sampling.stop])
            composer.put("stop_words_list", words, field="stop", rows=2)
        return composer.message

    def text_reader(self) -> TextReader:
        """See `Profile.text_reader`."""
        return super().text_reader() if self._tokenizer is None else TokenReader(self._tokenizer)

    def _check(self, message: ModelInferRequest, inputs: Inputs) -> None:
        refuse_stop(message, inputs)

    def _prompt(self, inputs: Inputs) -> tuple[str, int | None, int]:
        lengths = inputs.integers("input_lengths")
        if not lengths:
            raise InvalidRequestError("input 'input_lengths' is empty")
        return "", max(sum(lengths), 1), len(lengths)

    def _max_tokens(self, inputs: Inputs) -> int:
        return cap(inputs.integers("request_output_len"), "request_output_len")


class TokenReader:
    """See `TextReader`: responses bring the ids of new tokens."""

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        self._text = IncrementalText(tokenizer)

    def read(self, response: ModelInferResponse) -> TextPiece:
        """See `TextReader.read`."""
        input_tokens, output_tokens = take_counts(response, COUNTS, frozenset())
        ids = output_integers(response, "output_ids") or []
        lengths = output_integers(response, "sequence_length")
        return TextPiece(
            text=self._text.add(ids[: lengths[0]] if lengths else ids),
            input_tokens=input_tokens,
            output_tokens=len(ids) if output_tokens is None else output_tokens,
        )

    def close(self) -> TextPiece:
        """See `TextReader.close`."""
        return TextPiece(text=self._text.rest())


def _word_list(words: list[list[int]]) -> list[int]:
    """TensorRT-LLM's form for words: a row of all their ids, a row of where each ends, filled up with -1."""
    flat = [token for word in words for token in word]
    ends: list[int] = []
    for word in words:
        ends.append(len(word) + (ends[-1] if ends else 0))
    width = max(len(flat), len(ends), 1)
    return [*flat, *[0] * (width - len(flat)), *ends, *[-1] * (width - len(ends))]
