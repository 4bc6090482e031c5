"""The tensors of Triton's vLLM backend: how to sample is one JSON text, text and counts of a stream are new.

Without a tensor `sampling_parameters` the request's parameters are taken in its place.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np
import triton_python_backend_utils as pb_utils

from sagesched_emulator.iteration import Emission
from sagesched_emulator.triton_model.generation import Generation, GenerationTensors, InvalidTensorError
from sagesched_emulator.triton_model.requests import Tensors, scalar
from sagesched_emulator.triton_model.text_contract import TextContract, finish_reason, texts

DEFAULT_MAX_TOKENS = 16


class VllmContract(TextContract):
    """See `Contract`."""

    stops_by_id: ClassVar[bool] = False
    cancelled_text = "Request was cancelled"
    error_prefix = "Error generating stream"

    def read(self, request: Any, tensors: Tensors) -> GenerationTensors:
        """See `Contract.read`."""
        streaming = bool(scalar(tensors, "stream", False))
        excluded = tensors("exclude_input_in_output")
        exclude_prompt = streaming if excluded is None else bool(excluded[0])
        if streaming and not exclude_prompt:
            raise InvalidTensorError("When streaming, `exclude_input_in_output` = False is not allowed.")
        sampling = _sampling(request, tensors)
        if sampling.get("n", 1) != 1:
            raise InvalidTensorError("more than one answer is not emulated")
        return GenerationTensors(
            prompt_ids=self._text_ids(tensors),
            max_tokens=int(sampling.get("max_tokens", DEFAULT_MAX_TOKENS)),
            streaming=streaming,
            exclude_prompt=exclude_prompt,
            return_num_input_tokens=bool(scalar(tensors, "return_num_input_tokens", False)),
            return_num_output_tokens=bool(scalar(tensors, "return_num_output_tokens", False)),
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
        text, num_tokens = taken
        wanted = generation.tensors
        tensors = [texts("text_output", self._prompt(generation) + text)]
        if wanted.return_finish_reason:
            tensors.append(texts("finish_reason", finish_reason(generation, emission)))
        if wanted.return_num_input_tokens:
            tensors.append(_count("num_input_tokens", generation.prompt_tokens))
        if wanted.return_num_output_tokens:
            tensors.append(_count("num_output_tokens", num_tokens))
        return pb_utils.InferenceResponse(tensors)


def _sampling(request: Any, tensors: Tensors) -> dict[str, Any]:
    given = tensors("sampling_parameters")
    text = request.parameters() if given is None else given[0].decode("utf-8", errors="replace")
    try:
        sampling = json.loads(text)
    except ValueError as error:
        raise InvalidTensorError(str(error)) from None
    return sampling if isinstance(sampling, dict) else {}


def _count(name: str, value: int) -> Any:
    return pb_utils.Tensor(name, np.array([value], np.uint32))
