"""The `tensorrt_llm_bls` model: text in, text out, by calling `tensorrt_llm` from inside Triton.

What is peculiar to the real one is kept: an instance serves one request at a time; the inner request has an
id of its own making, so that `stop` by id finds nothing; nobody looks whether the client is gone; with
`accumulate_tokens` each response of a stream repeats all text so far; the last response is empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import triton_python_backend_utils as pb_utils

from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_model.requests import Tensors, scalar
from sagesched_emulator.triton_model.triton_inputs import inputs_of

ENGINE_MODEL = "tensorrt_llm"
COUNTS = ("num_input_tokens", "num_output_tokens")
PASSED_ON = (
    "beam_width",
    "num_return_sequences",
    "min_tokens",
    "exclude_input_in_output",
    *(f"return_{count}" for count in COUNTS),
)


class BlsModel:
    """Triton's face of the script that drives the engine model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the vocabulary."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._accumulates = parameters["accumulate_tokens"]["string_value"] == "true"
        self._tokenizer = EmulatorTokenizer()

    def execute(self, requests: list[Any]) -> None:
        """Serve one request after the other, each to its end."""
        for request in requests:
            sender = request.get_response_sender()
            for response in self._responses(request):
                sender.send(response)
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _responses(self, request: Any) -> Iterator[Any]:
        tensors = inputs_of(request)
        streaming = bool(scalar(tensors, "stream", False))
        so_far: list[int] = []
        for inner in self._inner_request(tensors, streaming).exec(decoupled=True):
            if inner.has_error():
                yield pb_utils.InferenceResponse([], inner.error())
                return
            outputs = {tensor.name(): tensor for tensor in inner.output_tensors()}
            if "output_ids" not in outputs:  # the empty final response
                continue
            new: list[int] = outputs["output_ids"].as_numpy().reshape(-1).tolist()
            so_far += new
            shown = so_far if streaming and self._accumulates else new
            text = self._tokenizer.decode(shown).encode("utf-8")
            answer = [pb_utils.Tensor("text_output", np.array([[text]], dtype=np.object_))]
            answer += [outputs[name] for name in COUNTS if name in outputs]
            yield pb_utils.InferenceResponse(answer)

    def _inner_request(self, tensors: Tensors, streaming: bool) -> Any:
        prompt = tensors("text_input")
        text: bytes = b"" if prompt is None else prompt.reshape(-1)[0]
        ids = np.array([self._tokenizer.encode(text.decode("utf-8", errors="replace"))], dtype=np.int32)
        inputs = [
            pb_utils.Tensor("input_ids", ids),
            pb_utils.Tensor("input_lengths", np.array([[ids.size]], np.int32)),
            pb_utils.Tensor("request_output_len", tensors("max_tokens")),
            pb_utils.Tensor("streaming", np.array([[streaming]])),
        ]
        given = {name: tensors(name) for name in PASSED_ON}
        inputs += [
            pb_utils.Tensor(name, values.reshape(1, 1))
            for name, values in given.items()
            if values is not None
        ]
        wanted = [name for name in COUNTS if scalar(tensors, f"return_{name}", False)]
        return pb_utils.InferenceRequest(
            model_name=ENGINE_MODEL,
            request_id=str(uuid4()),
            requested_output_names=["output_ids", "sequence_length", *wanted],
            inputs=inputs,
        )
