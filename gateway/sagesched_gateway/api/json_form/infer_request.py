"""The body of `POST .../infer` to a KServe request: JSON, with or without binary tensors behind it. Pure.

Follows Triton's front end (2.51). With binary tensors the body is a JSON head, whose length a header tells,
and then the tensors' raw bytes in the order of the inputs that name a `binary_data_size`. As in
`json_form.generate`, integers beyond their datatype are refused where Triton wraps them around.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sagesched_gateway.api.json_form.bounded import parse_json
from sagesched_gateway.api.json_form.parameters import add_parameter
from sagesched_gateway.api.json_form.tensors import Json, flat, pack, to_utf8
from sagesched_gateway.errors import InvalidRequestError
from sagesched_gateway.kserve import InferParameter, ModelInferRequest

_BINARY_DEFAULT = "binary_data_output"
_BINARY_SIZE = "binary_data_size"
_BINARY = "binary_data"
_REGION = "shared_memory_region"
_SHARED_MEMORY_SIZES = ("shared_memory_offset", "shared_memory_byte_size")
_CLASSIFICATION = "classification"
_SIZES = range(2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputKinds:
    """How the caller wants his outputs.

    Attributes:
        binary: by name, whether as raw bytes; outputs not named take the default.
        binary_default: the default.
        shared: names of outputs that Triton leaves in shared memory.
    """

    binary: dict[str, bool] = field(default_factory=dict)
    binary_default: bool = False
    shared: frozenset[str] = frozenset()

    def is_binary(self, name: str) -> bool:
        """Whether the output goes out as raw bytes."""
        return self.binary.get(name, self.binary_default)


def header_length(told: str | None, body_length: int) -> int:
    """Length of the JSON head in bytes, from the header `Inference-Header-Content-Length`.

    Raises:
        InvalidRequestError: it is no number, or larger than the body.
    """
    if told is None:
        return body_length
    if not (told.isascii() and told.isdigit() and len(told) < 20 and int(told) <= body_length):
        raise InvalidRequestError(
            f"inference header size should be in range (0, {body_length}), got: {told[:40]}"
        )
    return int(told)


def request_from_infer(
    body: bytes, head_bytes: int, *, model: str, version: str = "", json_depth: int = 64
) -> tuple[ModelInferRequest, OutputKinds]:
    """Build the request that Triton's front end would build from the same body, and what it keeps for itself.

    Args:
        body: the HTTP body, decompressed.
        head_bytes: length of the JSON at its beginning; see `header_length`.
        model: name of the model as in the URL.
        version: version as in the URL; empty lets Triton choose.
        json_depth: nesting that is allowed.

    Raises:
        InvalidRequestError: it cannot be read.
    """
    if head_bytes == 0:
        raise InvalidRequestError(
            f"a request without JSON is for models of one input, which '{model}' is not; "
            "'Inference-Header-Content-Length' must tell the length of the JSON"
        )
    document = _object("the request body", parse_json(body[:head_bytes], json_depth))
    request = ModelInferRequest(model_name=model, model_version=version)
    if "id" in document:
        request.id = _string("id", document["id"])
    binary_default = _take_parameters(request, _object("parameters", document.get("parameters", {})))
    tail = _Tail(memoryview(body)[head_bytes:])
    for item in _list("inputs", document.get("inputs")):
        _add_input(request, _object("inputs", item), tail)
    if not tail.is_empty:
        raise InvalidRequestError(f"unexpected additional input data for model '{model}'")
    binary: dict[str, bool] = {}
    shared: set[str] = set()
    for item in _list("outputs", document.get("outputs", [])):
        _add_output(request, _object("outputs", item), binary, shared)
    return request, OutputKinds(binary=binary, binary_default=binary_default, shared=frozenset(shared))


class _Tail:
    """The raw bytes behind the JSON, taken from the front."""

    def __init__(self, rest: memoryview) -> None:
        self._rest = rest

    @property
    def is_empty(self) -> bool:
        return not self._rest

    def take(self, name: str, size: int) -> bytes:
        missing = size - len(self._rest)
        if missing > 0:
            raise InvalidRequestError(
                f"unexpected size for input '{name}', expecting {missing} additional bytes"
            )
        taken, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return taken


def _take_parameters(request: ModelInferRequest, parameters: dict[str, Json]) -> bool:
    """Add them; the one that is about the answer's form is returned instead."""
    binary_default = _bool(_BINARY_DEFAULT, parameters.pop(_BINARY_DEFAULT, False))
    for name, value in parameters.items():
        add_parameter(request, name, value)
    return binary_default


def _add_input(request: ModelInferRequest, item: dict[str, Json], tail: _Tail) -> None:
    name = _string("name", item.get("name"))
    parameters = _object("parameters", item.get("parameters", {}))
    ways = [way for way in ("data",) if way in item]
    ways += [way for way in (_BINARY_SIZE, _REGION) if way in parameters]
    if len(ways) != 1:
        raise InvalidRequestError(
            f"Input must set only one of the following fields: 'data', '{_BINARY_SIZE}' in 'parameters', "
            f"'{_REGION}' in 'parameters'. But input '{name}' sets {', '.join(ways) or 'none of them'}"
        )
    datatype = _string("datatype", item.get("datatype"))
    shape = [_size("shape", size) for size in _list("shape", item.get("shape"))]
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    if _REGION in parameters:
        _share(tensor.parameters, parameters)
    elif _BINARY_SIZE in parameters:
        size = _size(_BINARY_SIZE, parameters[_BINARY_SIZE])
        request.raw_input_contents.append(tail.take(name, size))
    else:
        request.raw_input_contents.append(_packed(name, datatype, math.prod(shape), item["data"]))


def _packed(name: str, datatype: str, count: int, data: Json) -> bytes:
    if count == 0:
        return b""
    values = list(flat(name, _list("data", data)))
    if len(values) != count:
        raise InvalidRequestError(
            f"Unable to parse 'data': Shape does not match true shape of 'data' field of input '{name}'"
        )
    return pack(name, datatype, values)


def _add_output(
    request: ModelInferRequest, item: dict[str, Json], binary: dict[str, bool], shared: set[str]
) -> None:
    name = _string("name", item.get("name"))
    parameters = _object("parameters", item.get("parameters", {}))
    tensor = request.outputs.add(name=name)
    is_binary = _bool(_BINARY, parameters.get(_BINARY, False))
    binary.setdefault(name, is_binary)  # the first word counts where an output is named twice
    if _CLASSIFICATION in parameters:
        classes = _size(_CLASSIFICATION, parameters[_CLASSIFICATION])
        tensor.parameters[_CLASSIFICATION].int64_param = classes
    if _REGION in parameters:
        for other, is_set in ((_CLASSIFICATION, _CLASSIFICATION in parameters), (_BINARY, is_binary)):
            if is_set:
                raise InvalidRequestError(f"Output can't set both '{_REGION}' and '{other}'")
        _share(tensor.parameters, parameters)
        shared.add(name)


def _share(target: dict[str, InferParameter], parameters: dict[str, Json]) -> None:
    target[_REGION].string_param = _string(_REGION, parameters[_REGION])
    for name in _SHARED_MEMORY_SIZES:
        if name in parameters:
            target[name].int64_param = _size(name, parameters[name])


def _object(name: str, value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"Unable to parse '{name}': it must be a JSON object")
    return value


def _list(name: str, value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise InvalidRequestError(f"Unable to parse '{name}': it must be a list")
    return value


def _string(name: str, value: Json) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"Unable to parse '{name}': it must be a string")
    return to_utf8(name, value).decode()


def _bool(name: str, value: Json) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"Unable to parse '{name}': it must be true or false")
    return value


def _size(name: str, value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value not in _SIZES:
        raise InvalidRequestError(f"Unable to parse '{name}': it must be a whole number, 0 or more")
    return value
