"""Reading the inputs of a request of Triton's Python backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from sagesched_emulator.triton_model.requests import Tensors


def inputs_of(request: Any) -> Tensors:
    """The inputs of a request of Triton's Python backend."""

    def tensor(name: str) -> np.ndarray[Any, Any] | None:
        found = pb_utils.get_input_tensor_by_name(request, name)
        return None if found is None else found.as_numpy()

    return tensor
