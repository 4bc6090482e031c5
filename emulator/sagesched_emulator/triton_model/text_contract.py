"""What the models that take and give text have in common: the LLM API's and the vLLM backend's.

Both decode as they go, so that no response ends inside a character. Neither tells an engine's metrics. A
cancelled request ends with the error CANCELLED.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import triton_python_backend_utils as pb_utils

from sagesched_emulator.iteration import Emission
from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_model.answer_text import AnswerText, IntArray
from sagesched_emulator.triton_model.generation import Generation, InvalidTensorError
from sagesched_emulator.triton_model.requests import Tensors


class TextContract:
    """Base of `LlmApiContract` and `VllmContract`."""

    has_metrics: ClassVar[bool] = False
    cancelled_text: ClassVar[str]
    error_prefix: ClassVar[str]

    def __init__(self, text: AnswerText, tokenizer: EmulatorTokenizer) -> None:
        """Take what answers are made of."""
        self._answers = text
        self._tokenizer = tokenizer

    def stopped(self) -> Any:
        """See `Contract.stopped`."""
        return _error(self.cancelled_text, pb_utils.TritonError.CANCELLED)

    def refusal(self, error: InvalidTensorError) -> Any:
        """See `Contract.refusal`."""
        return _error(f"{self.error_prefix}: {error}", pb_utils.TritonError.UNKNOWN)

    def _text_ids(self, tensors: Tensors) -> IntArray:
        """The prompt's tokens."""
        texts = tensors("text_input")
        if texts is None or texts.size == 0:
            raise InvalidTensorError("text_input is missing from the request")
        if texts.ndim > 1 or texts.size > 1:
            raise InvalidTensorError("The current implementation only supports one prompt in text_input")
        prompt: bytes = texts.reshape(-1)[0]
        ids = self._tokenizer.encode(prompt.decode("utf-8", errors="replace"))
        if not ids:
            raise InvalidTensorError("the prompt is empty")
        return np.array(ids, dtype=np.int32)

    def _take(self, generation: Generation, emission: Emission) -> tuple[str, int] | None:
        """New text and the number of new tokens; None where no response is due."""
        sent, generation.output_tokens = generation.output_tokens, emission.total_tokens
        ids = self._answers.tokens(generation.text_offset, sent, emission.total_tokens).tolist()
        piece = generation.take_text(self._tokenizer.decode_bytes(ids), final=emission.final)
        if generation.tensors.streaming:
            return piece, len(ids)
        return (generation.text, emission.total_tokens) if emission.final else None

    def _prompt(self, generation: Generation) -> str:
        """The prompt, where a whole answer repeats it."""
        if generation.tensors.streaming or generation.tensors.exclude_prompt:
            return ""
        return self._tokenizer.decode(generation.tensors.prompt_ids.tolist())


def finish_reason(generation: Generation, emission: Emission) -> str:
    """As both libraries say it."""
    if not emission.final:
        return "None"
    return "length" if emission.total_tokens >= generation.tensors.max_tokens else "stop"


def texts(name: str, value: str) -> Any:
    """A tensor of one text."""
    return pb_utils.Tensor(name, np.array([value.encode()], dtype=np.object_))


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse([texts("text_output", "N/A")], pb_utils.TritonError(message, code))
