"""Parameters of a request as JSON gives them: the one way into a KServe message."""

from __future__ import annotations

from sagesched_gateway.api.json_form.tensors import Json, to_float, to_utf8
from sagesched_gateway.errors import InvalidRequestError
from sagesched_gateway.kserve import InferParameter, ModelInferRequest

_INT64 = range(-(2**63), 2**63)


def add_parameter(request: ModelInferRequest, name: str, value: Json, *, hint: str = "") -> None:
    """Add one; true, a number or a string.

    Raises:
        InvalidRequestError: it is anything else, or its name is reserved; `hint` says what else may be wrong.
    """
    to_utf8("a parameter's name", name)
    if name.startswith("triton_"):
        raise InvalidRequestError(f"parameter '{name}': keys starting with 'triton_' are reserved for Triton")
    request.parameters[name].CopyFrom(_parameter(name, value, hint))


def _parameter(name: str, value: Json, hint: str) -> InferParameter:
    match value:
        case bool():
            return InferParameter(bool_param=value)
        case int() if value in _INT64:
            return InferParameter(int64_param=value)
        case int() | float():
            return InferParameter(double_param=to_float(name, value))
        case str():
            return InferParameter(string_param=to_utf8(name, value).decode())
        case _:
            raise InvalidRequestError(
                f"parameter '{name}' has invalid type. It should be either 'int', 'bool', or 'string'.{hint}"
            )
