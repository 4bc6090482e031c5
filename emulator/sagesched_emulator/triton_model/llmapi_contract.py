"""The tensors of TensorRT-LLM's LLM API model: no batch dimension, `sampling_param_*`, no counts.

The text of a stream is cumulative: each response repeats all text so far.
"""

from __future__ import annotations

from typing import Any, ClassVar

import triton_python_backend_utils as pb_utils

from sagesched_emulator.iteration import Emission
from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_model.answer_text import AnswerText
from sagesched_emulator.triton_model.generation import Generation, GenerationTensors, InvalidTensorError
from sagesched_emulator.triton_model.requests import Tensors, scalar
from sagesched_emulator.triton_model.text_contract import TextContract, finish_reason, texts

DEFAULT_MAX_TOKENS = 32


class LlmApiContract(TextContract):
    """See `Contract`."""

    stops_by_id: ClassVar[bool] = True
    cancelled_text = "Request cancelled by client"
    error_prefix = "Error generating request"

    def __init__(self, text: AnswerText, tokenizer: EmulatorTokenizer, *, decoupled: bool) -> None:
        """Take what answers are made of, and whether a request may have several responses."""
        super().__init__(text, tokenizer)
        self._is_decoupled = decoupled

    def read(self, request: Any, tensors: Tensors) -> GenerationTensors:
        """See `Contract.read`."""
        del request
        streaming = bool(scalar(tensors, "streaming", False))
        if streaming and not self._is_decoupled:
            raise InvalidTensorError("Streaming is only supported in decoupled mode.")
        return GenerationTensors(
            prompt_ids=self._text_ids(tensors),
            max_tokens=int(scalar(tensors, "sampling_param_max_tokens", DEFAULT_MAX_TOKENS)),
            streaming=streaming,
            exclude_prompt=bool(scalar(tensors, "sampling_param_exclude_input_from_output", False)),
            return_finish_reason=bool(scalar(tensors, "return_finish_reason", False)),
        )

    def answer(self, generation: Generation, emission: Emission, at: float) -> Any:
        """See `Contract.answer`."""
        del at
        taken = self._take(generation, emission)
        if emission.stopped:
            return self.stopped()
        if taken is None:
            return None
        tensors = [texts("text_output", self._prompt(generation) + generation.text)]
        if generation.tensors.return_finish_reason:
            tensors.append(texts("finish_reason", finish_reason(generation, emission)))
        return pb_utils.InferenceResponse(tensors)
