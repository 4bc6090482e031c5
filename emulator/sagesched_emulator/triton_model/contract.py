"""`Contract`: the tensors of one kind of model, both ways. The engine behind is the same for all.

`TokenContract` is that of TensorRT-LLM's in-flight batcher: token ids in and out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils

from sagesched_emulator.iteration import Emission
from sagesched_emulator.triton_model.answer_text import AnswerText, IntArray
from sagesched_emulator.triton_model.generation import Generation, GenerationTensors, InvalidTensorError
from sagesched_emulator.triton_model.requests import Tensors, read_generation
from sagesched_emulator.wall_clock import WallClock


class Contract(Protocol):
    """What distinguishes one kind of model from another.

    Attributes:
        has_metrics: its backend exports `nv_trt_llm_*`.
        stops_by_id: a request with `stop` true ends an earlier one of the same id.
    """

    has_metrics: ClassVar[bool]
    stops_by_id: ClassVar[bool]

    def read(self, request: Any, tensors: Tensors) -> GenerationTensors:
        """The inputs of a request.

        Raises:
            InvalidTensorError: they cannot be served.
        """
        ...

    def answer(self, generation: Generation, emission: Emission, at: float) -> Any:
        """The response that an emission calls for; None where it calls for none."""
        ...

    def stopped(self) -> Any:
        """The response to a request that stopped another one."""
        ...

    def refusal(self, error: InvalidTensorError) -> Any:
        """The response to a request that cannot be served."""
        ...


REQUIRED_OUTPUTS = ("output_ids", "sequence_length")


class TokenContract:
    """See the module."""

    has_metrics: ClassVar[bool] = True
    stops_by_id: ClassVar[bool] = True

    def __init__(self, text: AnswerText, clock: WallClock, block_tokens: int) -> None:
        """Take what answers are made of."""
        self._text = text
        self._clock = clock
        self._block_tokens = block_tokens

    def read(self, request: Any, tensors: Tensors) -> GenerationTensors:
        """See `Contract.read`. As in the real backend, a client that lists outputs lists two of them."""
        names = request.requested_output_names()
        for required in REQUIRED_OUTPUTS:
            if names and required not in names:
                raise InvalidTensorError(f"{required} tensor must be present in list of output tensors")
        return read_generation(tensors)

    def answer(self, generation: Generation, emission: Emission, at: float) -> Any:
        """See `Contract.answer`."""
        ids = generation.output_ids(emission, self._text)
        if ids is None:
            return None
        return pb_utils.InferenceResponse(list(self._tensors(generation, ids, at, emission.final)))

    def stopped(self) -> Any:
        """See `Contract.stopped`: an empty one."""
        return pb_utils.InferenceResponse([])

    def refusal(self, error: InvalidTensorError) -> Any:
        """See `Contract.refusal`."""
        return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))

    def _tensors(self, generation: Generation, ids: IntArray, at: float, final: bool) -> Iterator[Any]:
        """Outputs of one response; Triton drops those that the client did not ask for."""
        yield pb_utils.Tensor("output_ids", ids.reshape(1, 1, -1))
        yield pb_utils.Tensor("sequence_length", np.array([[ids.size]], np.int32))
        wanted = generation.tensors
        if wanted.return_num_input_tokens:
            yield _count("num_input_tokens", generation.prompt_tokens)
        if wanted.return_num_output_tokens:
            yield _count("num_output_tokens", ids.size)
        if wanted.return_perf_metrics:
            yield from self._perf_metrics(generation, at, final)

    def _perf_metrics(self, generation: Generation, at: float, final: bool) -> Iterator[Any]:
        held_tokens = generation.prompt_tokens + generation.output_tokens
        num_blocks = -(-held_tokens // self._block_tokens)
        yield _count("kv_cache_alloc_new_blocks", num_blocks)
        yield _count("kv_cache_reused_blocks", 0)
        yield _count("kv_cache_alloc_total_blocks", num_blocks)
        yield self._instant("arrival_time_ns", generation.submitted_at)
        yield self._instant("first_scheduled_time_ns", generation.first_scheduled_at)
        yield self._instant("first_token_time_ns", generation.first_token_at)
        yield self._instant("last_token_time_ns", at if final else None)
        yield pb_utils.Tensor("acceptance_rate", np.zeros((1, 1), np.float32))
        yield _count("total_accepted_draft_tokens", 0)
        yield _count("total_draft_tokens", 0)

    def _instant(self, name: str, at: float | None) -> Any:
        """An instant on the wall's monotonic clock; 0 while it lies ahead."""
        return pb_utils.Tensor(name, np.array([[0 if at is None else self._clock.wall_ns(at)]], np.int64))


def _count(name: str, value: int) -> Any:
    return pb_utils.Tensor(name, np.array([[value]], np.int32))
