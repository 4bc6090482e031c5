"""Triton's vLLM backend: text in, text out, everything about sampling in one JSON text.

No batch dimension: text_input BYTES, stream BOOL, sampling_parameters BYTES (the same may come as request
parameters). The text of a stream is new text, a whole answer repeats the prompt unless
`exclude_input_in_output` is set; counts (UINT32) never include it. The backend's own id of a request is
random, so only closing the stream cancels, noticed at the next token.
"""

from __future__ import annotations

import json
import math
from typing import Any

from sagesched_gateway.errors import InvalidRequestError
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.request import GenerationRequest, Metadata
from sagesched_gateway.text import Sampling, TextReader
from sagesched_gateway.tokenizer import ModelTokenizer
from sagesched_gateway.triton.compose import Composer
from sagesched_gateway.triton.profiles.base import Cancelling, ModelDescription
from sagesched_gateway.triton.profiles.tensor_profile import (
    COUNTS,
    NUM_OUTPUT_TOKENS,
    SamplingHints,
    TensorProfile,
    text_prompt,
)
from sagesched_gateway.triton.profiles.text_output import FINISH_REASON, AnswerReader, TextStyle
from sagesched_gateway.triton.tensors import Inputs

SAMPLING = "sampling_parameters"
DEFAULT_MAX_TOKENS = 16
"""vLLM's own, where a request does not say."""

MOST_TOKENS = 2**31 - 1
"""More than any engine generates; JSON has no largest number, the scheduler's arithmetic has."""

_FIELDS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)
_GUIDES = ("guided_decoding", "structured_outputs", "guided_json", "guided_grammar", "guided_regex")
_HOLD_S = 0.15  # a long iteration, and the way there


class VllmProfile(TensorProfile):
    """See the module."""

    name = "vllm"
    takes_text = True
    stream_input = "stream"
    exclude_input = "exclude_input_in_output"
    counts_echo = False

    def __init__(
        self,
        description: ModelDescription,
        *,
        counts_prompts: bool = True,
        tokenizer: ModelTokenizer | None = None,
    ) -> None:
        """Take a model; arguments as for the classic `TextProfile`."""
        super().__init__(
            description,
            Cancelling(stop_model=None, hold_s=_HOLD_S),
            COUNTS if counts_prompts else (NUM_OUTPUT_TOKENS,),
            tokenizer,
        )
        self._style = TextStyle(is_cumulative=False)

    def read(
        self, message: ModelInferRequest, body: bytes, upstream_id: str, metadata: Metadata
    ) -> GenerationRequest:
        """See `Profile.read`; the cap may be among the request's parameters."""
        request = super().read(message, body, upstream_id, metadata)
        if SAMPLING not in Inputs(message):
            told = message.parameters.get("max_tokens")
            if told is not None:
                request.max_tokens = _cap({"max_tokens": told.int64_param or told.uint64_param})
        return request

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """See `Profile.compose`."""
        composer = Composer(self._description, model)
        composer.refuse_alternatives(sampling)
        if sampling.json_schema is not None:
            raise composer.unsupported("json_schema", "how to ask for it depends on the version of vLLM")
        wanted: dict[str, Any] = {name: getattr(sampling, name) for name in _FIELDS}
        chosen = {name: value for name, value in wanted.items() if value is not None}
        if sampling.stop:
            chosen["stop"] = list(sampling.stop)
        composer.put("text_input", prompt, field="the prompt")
        composer.put(SAMPLING, json.dumps(chosen), field="how to sample")
        composer.put("stream", sampling.stream, field="stream")
        composer.put_if_offered(self.exclude_input, True)
        for name in (*COUNTS, FINISH_REASON):
            if name in self._description.outputs:
                composer.put_if_offered(f"return_{name}", True)
        return composer.message

    def text_reader(self) -> TextReader:
        """See `Profile.text_reader`."""
        return AnswerReader(self._style.pieces(), COUNTS)

    def _prompt(self, inputs: Inputs) -> tuple[str, int | None, int]:
        return text_prompt(inputs)

    def _sampling(self, inputs: Inputs) -> SamplingHints:
        chosen = self._chosen(inputs) if SAMPLING in inputs else {}
        return SamplingHints(
            temperature=0.0 if chosen.get("top_k") == 1 else _number(chosen.get("temperature")),
            top_p=_number(chosen.get("top_p")),
            wants_json=any(chosen.get(name) for name in _GUIDES),
        )

    def _max_tokens(self, inputs: Inputs) -> int:
        return _cap(self._chosen(inputs)) if SAMPLING in inputs else DEFAULT_MAX_TOKENS

    @staticmethod
    def _chosen(inputs: Inputs) -> dict[str, Any]:
        texts = inputs.texts(SAMPLING)
        try:
            sampling = json.loads(texts[0]) if texts else {}
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"input '{SAMPLING}' is no JSON object: {error}") from None
        if not isinstance(sampling, dict):
            raise InvalidRequestError(f"input '{SAMPLING}' is no JSON object")
        return sampling


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _cap(sampling: dict[str, Any]) -> int:
    """Output tokens of all answers that are wanted together, `MOST_TOKENS` for any number beyond."""
    numbers = []
    for name, default in (("max_tokens", DEFAULT_MAX_TOKENS), ("n", 1)):
        value = sampling.get(name)
        number = default if value is None else value
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidRequestError(f"sampling parameter '{name}' must be a whole number of at least 1")
        numbers.append(number)
    return min(numbers[0] * numbers[1], MOST_TOKENS)
