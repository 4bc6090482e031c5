"""From a Triton request of the `tensorrt_llm` model to `GenerationTensors`, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sagesched_emulator.triton_model.generation import GenerationTensors, InvalidTensorError

Tensors = Callable[[str], "np.ndarray[Any, Any] | None"]
"""Gives an input by name; None where the request lacks it."""


def wants_stop(tensors: Tensors) -> bool:
    """Whether the request only asks to end another one of the same id."""
    return bool(scalar(tensors, "stop", False))


def read_generation(tensors: Tensors) -> GenerationTensors:
    """The inputs of a generation request.

    Raises:
        InvalidTensorError: more than one sequence is asked for, or there is no prompt.
    """
    ids = tensors("input_ids")
    if ids is None or ids.size == 0:
        raise InvalidTensorError("a value is required for input_ids")
    if ids.ndim > 1 and ids.shape[0] != 1:
        raise InvalidTensorError(
            f"batched requests are not emulated: input_ids has batch size {ids.shape[0]}"
        )
    for name in ("beam_width", "num_return_sequences"):
        count = int(scalar(tensors, name, 1))
        if count != 1:
            raise InvalidTensorError(f"requested {name} {count} is larger than the configured maximum of 1")
    num_prompt_ids = int(scalar(tensors, "input_lengths", ids.size))
    return GenerationTensors(
        prompt_ids=np.asarray(ids, dtype=np.int32).reshape(-1)[:num_prompt_ids].copy(),
        max_tokens=int(scalar(tensors, "request_output_len", 0)),
        min_tokens=int(scalar(tensors, "min_tokens", 0)),
        streaming=bool(scalar(tensors, "streaming", False)),
        exclude_prompt=bool(scalar(tensors, "exclude_input_in_output", False)),
        return_num_input_tokens=bool(scalar(tensors, "return_num_input_tokens", False)),
        return_num_output_tokens=bool(scalar(tensors, "return_num_output_tokens", False)),
        return_perf_metrics=bool(scalar(tensors, "return_perf_metrics", False)),
    )


def scalar(tensors: Tensors, name: str, default: float) -> float:
    """The one value of an input, or the default where the request lacks it."""
    values = tensors(name)
    return default if values is None or values.size == 0 else float(values.reshape(-1)[0])
