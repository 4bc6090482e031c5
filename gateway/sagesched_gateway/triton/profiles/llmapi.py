"""The model `tensorrt_llm` on TensorRT-LLM's LLM API (`all_models/llmapi`), the only one left upstream.

No batch dimension, tensors of one dimension: text_input BYTES, sampling_param_* for all that is sampled,
streaming BOOL. It answers in one piece unless its model.yaml says `decoupled: true`; then the text of a
stream is cumulative or new, by version. It counts no tokens: how many a chunk of a stream brings is told by
its text (`ChunkSize`), a whole answer is counted by the model's tokenizer where one is configured. Closing
the stream cancels, polled each `cancellation_check_period_ms`.

A caller could have the server read any path as `lora_path`; such requests are refused.
"""

from __future__ import annotations

from collections.abc import Callable

from sagesched_gateway.errors import ForbiddenError
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.request import GenerationRequest
from sagesched_gateway.text import Sampling, TextReader
from sagesched_gateway.tokenizer import ModelTokenizer
from sagesched_gateway.triton.compose import Composer
from sagesched_gateway.triton.profiles.base import Cancelling, ModelDescription
from sagesched_gateway.triton.profiles.chunk_size import ChunkCount, ChunkSize
from sagesched_gateway.triton.profiles.tensor_profile import TensorProfile, cap, refuse_stop, text_prompt
from sagesched_gateway.triton.profiles.text_output import FINISH_REASON, AnswerReader, TextStyle
from sagesched_gateway.triton.tensors import Inputs

MAX_TOKENS = "sampling_param_max_tokens"
DEFAULT_MAX_TOKENS = 32
"""What the LLM API generates at most where a request does not say."""

_LORA_PATH = "lora_path"
_SAMPLING = {
    field: f"sampling_param_{field}"
    for field in ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")
}
_HOLD_S = 0.15  # cancellation_check_period_ms of 100 and a long iteration


class LlmApiProfile(TensorProfile):
    """See the module."""

    name = "llmapi"
    takes_text = True
    stream_input = "streaming"
    exclude_input = "sampling_param_exclude_input_from_output"
    sampling_inputs = _SAMPLING

    def __init__(self, description: ModelDescription, tokenizer: ModelTokenizer | None = None) -> None:
        """Take a model, and its tokenizer where one is configured."""
        super().__init__(description, Cancelling(stop_model=None, hold_s=_HOLD_S), (), tokenizer)
        self._style = TextStyle(is_cumulative=None)
        self._chunk_size = ChunkSize()

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """See `Profile.compose`; a model that is not decoupled answers a wish for pieces in one."""
        composer = Composer(self._description, model)
        composer.refuse_alternatives(sampling)
        if sampling.json_schema is not None:
            raise composer.unsupported("json_schema", "models of this kind have no guided decoding")
        composer.put("text_input", prompt, field="the prompt")
        composer.put(MAX_TOKENS, sampling.max_tokens, field="max_tokens")
        if sampling.stream and self._description.decoupled:
            composer.put(self.stream_input, True, field="stream")
        composer.put_if_offered(self.exclude_input, True)
        composer.put_sampling(sampling, _SAMPLING)
        if sampling.stop:
            composer.put("sampling_param_stop", sampling.stop, field="stop")
        if FINISH_REASON in self._description.outputs:
            composer.put_if_offered(f"return_{FINISH_REASON}", True)
        return composer.message

    def text_reader(self) -> TextReader:
        """See `Profile.text_reader`."""
        return AnswerReader(self._style.pieces(), None, self._tokenizer)

    def chunk_count(self, request: GenerationRequest) -> ChunkCount | None:
        """See `Profile.chunk_count`: the engine does not count, see `ChunkSize`."""
        if not request.streams or not self._chunk_size.wants_to_see():
            return None
        return ChunkCount(self._chunk_size, request.max_tokens, self._counting(request.prompt))

    def _counting(self, prompt: str) -> Callable[[str], int] | None:
        """Counts the tokens of an answer that may begin with its prompt."""
        tokenizer = self._tokenizer
        if tokenizer is None:
            return None
        return lambda text: len(tokenizer.encode(text.removeprefix(prompt)))

    def _check(self, message: ModelInferRequest, inputs: Inputs) -> None:
        if _LORA_PATH in inputs:  # first: an order to stop that cannot be read is left to Triton
            raise ForbiddenError(f"input '{_LORA_PATH}' names a path on the server; it is not passed on")
        refuse_stop(message, inputs)

    def _prompt(self, inputs: Inputs) -> tuple[str, int | None, int]:
        return text_prompt(inputs)

    def _max_tokens(self, inputs: Inputs) -> int:
        return cap(inputs.integers(MAX_TOKENS), MAX_TOKENS) if MAX_TOKENS in inputs else DEFAULT_MAX_TOKENS
