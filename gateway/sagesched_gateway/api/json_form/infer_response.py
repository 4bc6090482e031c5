"""A KServe response to the body that `POST .../infer` answers with: JSON, raw tensors behind it. Pure."""

from __future__ import annotations

import math

from sagesched_gateway.api.json_form.generate import to_bytes
from sagesched_gateway.api.json_form.infer_request import OutputKinds
from sagesched_gateway.api.json_form.tensors import Json, unpack
from sagesched_gateway.errors import InternalError
from sagesched_gateway.kserve import FINAL_PARAMETER, ModelInferResponse


def response_to_infer(response: ModelInferResponse, kinds: OutputKinds) -> tuple[bytes, int | None]:
    """The body, and the length of the JSON at its beginning where raw tensors follow it.

    Raises:
        InvalidRequestError: an output has a datatype that JSON cannot carry (FP16, BF16).
        InternalError: an output's bytes do not match its shape.
    """
    if len(response.raw_output_contents) != len(response.outputs):
        raise InternalError("the response's tensors came without their contents")
    head = {"id": response.id} if response.id else {}
    head |= {"model_name": response.model_name, "model_version": response.model_version}
    if parameters := _parameters(response):
        head["parameters"] = parameters
    outputs: list[dict[str, Json]] = []
    tail: list[bytes] = []
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        shape = list(output.shape)
        shown = {"name": output.name, "datatype": output.datatype, "shape": shape}
        if output.name in kinds.shared:
            pass  # Triton has put it there
        elif kinds.is_binary(output.name):
            shown["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            shown["data"] = unpack(output.name, output.datatype, math.prod(shape), raw)
        outputs.append(shown)
    text = to_bytes(head | {"outputs": outputs})
    contents = b"".join(tail)
    return text + contents, len(text) if contents else None


def _parameters(response: ModelInferResponse) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for name, parameter in response.parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None and name != FINAL_PARAMETER:  # that one is added by Triton's gRPC face only
            result[name] = getattr(parameter, choice)
    return result
