"""The `postprocessing` model: the token ids of each response to text.

It runs once per token and request, so it does as little as possible: chunks of all requests that wait come in
one call, and a chunk is a look-up per token.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from sagesched_emulator.tokenizer import EmulatorTokenizer


class PostprocessingModel:
    """Triton's face of the tokenizer's decoding half."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the vocabulary."""
        self._tokenizer = EmulatorTokenizer()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        ids = pb_utils.get_input_tensor_by_name(request, "TOKENS_BATCH").as_numpy()
        text = self._tokenizer.decode(ids.reshape(-1).tolist()).encode("utf-8")
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", np.array([[text]], dtype=np.object_))])
