"""Triton's generate extension, both ways: JSON to a KServe request, a KServe response to JSON. Pure.

Follows Triton's own front end, observed on 2.51: a key that names an input tensor becomes that tensor, `id`
is the request's id (and, as there, a parameter), members of `parameters` are treated like top-level keys,
anything else becomes a request parameter. A value is a scalar or a list, spread over the tensor's shape by
`tensors.spread`, so that a leading batch dimension becomes 1.

Where it differs, on purpose: what Triton answers with 500 (bad JSON, wrong type) is the caller's fault and
raises `InvalidRequestError`; integers beyond their datatype are refused where Triton wraps them around;
lists may be nested; parameters starting with `triton_` are refused, as on Triton's gRPC face.
"""

from __future__ import annotations

import json
import math

from sagesched_gateway.api.json_form.bounded import parse_json
from sagesched_gateway.api.json_form.parameters import add_parameter
from sagesched_gateway.api.json_form.tensors import Json, flat, pack, spread, to_utf8, unpack
from sagesched_gateway.errors import InternalError, InvalidRequestError
from sagesched_gateway.kserve import (
    FINAL_PARAMETER,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
)

_NESTED = "parameters"
_NO_TENSOR = " (The model has no input tensor of that name.)"
# Made once: `json.dumps` would make one for each token.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def request_from_json(
    body: bytes, metadata: ModelMetadataResponse, *, model: str, version: str = "", json_depth: int = 64
) -> ModelInferRequest:
    """Build the request that Triton's front end would build from the same body.

    Args:
        body: the HTTP body.
        metadata: the model's tensors.
        model: name of the model as in the URL.
        version: version as in the URL; empty lets Triton choose.
        json_depth: nesting that is allowed.

    Raises:
        InvalidRequestError: the body is not a JSON object, or a value does not fit its tensor.
    """
    members = _members(body, json_depth)
    request = ModelInferRequest(model_name=model, model_version=version)
    inputs = {tensor.name: tensor for tensor in metadata.inputs}
    nested = members.pop(_NESTED, {})
    if not isinstance(nested, dict):
        raise InvalidRequestError(f"Expected JSON object for keyword: '{_NESTED}'")
    if "id" in members:
        request.id = _id(members["id"])
    for name, value in (*members.items(), *nested.items()):
        tensor = inputs.get(name)
        if tensor is None:
            add_parameter(request, name, value, hint=_NO_TENSOR)
            continue
        if any(present.name == name for present in request.inputs):
            raise InvalidRequestError(f"input '{name}' already exists in request")
        values = list(flat(name, value))
        shape = spread(name, tensor.shape, len(values))
        request.inputs.add(name=name, datatype=tensor.datatype, shape=shape)
        request.raw_input_contents.append(pack(name, tensor.datatype, values))
    return request


def response_to_json(response: ModelInferResponse) -> dict[str, Json]:
    """The object that Triton's front end would return for a response; keys in its (sorted) order.

    Raises:
        InvalidRequestError: an output has a datatype that JSON cannot carry (FP16, BF16).
        InternalError: an output's bytes do not match its shape.
    """
    if len(response.raw_output_contents) != len(response.outputs):
        raise InternalError("the response's tensors came without their contents")
    result: dict[str, Json] = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        values = unpack(output.name, output.datatype, math.prod(output.shape), raw)
        result[output.name] = values[0] if len(values) == 1 else values
    for name, parameter in response.parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None and name != FINAL_PARAMETER:  # that one is added by Triton's gRPC face only
            result[name] = getattr(parameter, choice)
    # Where names collide Triton keeps its own fields, then parameters, then tensors.
    result |= {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        result["id"] = response.id
    return dict(sorted(result.items()))


def to_bytes(value: Json) -> bytes:
    """JSON text as Triton writes it: UTF-8, no spaces, bytes that are not UTF-8 as they are."""
    return _encode(value).encode("utf-8", "surrogateescape")


def _members(body: bytes, json_depth: int) -> dict[str, Json]:
    document = parse_json(body, json_depth)
    if not isinstance(document, dict):
        raise InvalidRequestError("the request body must be a JSON object of tensors and parameters")
    return document


def _id(value: Json) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError("Unable to parse 'id': it must be a string")
    return to_utf8("id", value).decode()
