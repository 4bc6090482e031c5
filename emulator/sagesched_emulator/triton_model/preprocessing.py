"""The `preprocessing` model: prompt text to token ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from sagesched_emulator.tokenizer import EmulatorTokenizer

END_ID = -1
"""The vocabulary has no end token; answers end by length."""


class PreprocessingModel:
    """Triton's face of the tokenizer's encoding half."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the vocabulary."""
        self._tokenizer = EmulatorTokenizer()
        # Inputs for features that the emulated engine has none of; made once, sent with every request.
        self._unused = [
            pb_utils.Tensor("DECODER_INPUT_ID", np.zeros((1, 1), np.int32)),
            pb_utils.Tensor("REQUEST_DECODER_INPUT_LEN", np.ones((1, 1), np.int32)),
            pb_utils.Tensor("BAD_WORDS_IDS", np.array([[[0], [-1]]], np.int32)),
            pb_utils.Tensor("STOP_WORDS_IDS", np.array([[[0], [-1]]], np.int32)),
            pb_utils.Tensor("EMBEDDING_BIAS", np.zeros((1, 0), np.float32)),
            pb_utils.Tensor("OUT_PROMPT_TABLE_EXTRA_IDS", np.zeros((1, 0), np.uint64)),
        ]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        query = pb_utils.get_input_tensor_by_name(request, "QUERY").as_numpy()
        if query.size != 1:
            message = f"batched requests are not emulated: QUERY has {query.size} prompts"
            return pb_utils.InferenceResponse(
                [], pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG)
            )
        text: bytes = query.reshape(-1)[0]
        ids = np.array([self._tokenizer.encode(text.decode("utf-8", errors="replace"))], dtype=np.int32)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("INPUT_ID", ids),
                pb_utils.Tensor("REQUEST_INPUT_LEN", np.array([[ids.shape[1]]], np.int32)),
                _passed_on(request, "REQUEST_OUTPUT_LEN", "REQUEST_OUTPUT_LEN"),
                _passed_on(request, "END_ID", "OUT_END_ID"),
                _passed_on(request, "PAD_ID", "OUT_PAD_ID"),
                *self._unused,
            ]
        )


def _passed_on(request: Any, name: str, output: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    values = np.array([[END_ID]], np.int32) if tensor is None else tensor.as_numpy()
    return pb_utils.Tensor(output, values)
