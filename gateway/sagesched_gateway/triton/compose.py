"""`Composer`: writes a request to a model tensor by tensor, from values that are no tensors yet.

Shapes and datatypes follow the model's own metadata: old repositories have UINT32 where newer ones have
INT32, some models have a batch dimension and some have none. A tensor that the model does not list would be
an error of Triton's, so it is left out where nobody asked for it and refused, by the name of the caller's
field, where somebody did.
"""

from __future__ import annotations

from collections.abc import Sequence

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.text import Sampling
from sagesched_gateway.triton.profiles.base import ModelDescription

Value = str | bytes | int | float | bool

_CONTENTS = {
    "BYTES": "bytes_contents",
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


class Composer:
    """One message under construction.

    Attributes:
        message: what has been written so far.
    """

    def __init__(self, description: ModelDescription, model: str) -> None:
        """Begin an empty message.

        Args:
            description: the model's tensors.
            model: the name to send it to.
        """
        self.message = ModelInferRequest(model_name=model)
        self._has_batch_dimension = description.has_batch_dimension
        self._datatypes = {tensor.name: tensor.datatype for tensor in description.metadata.inputs}

    def offers(self, name: str) -> bool:
        """Whether the model has such an input."""
        return name in self._datatypes

    def put(self, name: str, values: Value | Sequence[Value], *, field: str, rows: int | None = None) -> None:
        """Write a tensor: a value is a tensor of one element, a list one of as many.

        Args:
            name: of the input.
            values: to write.
            field: what the caller calls it.
            rows: for a tensor of two dimensions, the first.

        Raises:
            UnsupportedError: the model has no such input.
            InvalidRequestError: a value does not fit the input's datatype.
        """
        datatype = self._datatypes.get(name)
        contents = _CONTENTS.get(datatype or "")
        if contents is None:
            raise self.unsupported(field, f"it has no input '{name}' that could take it")
        elements = [values] if isinstance(values, Value) else list(values)
        shape = [len(elements)] if rows is None else [rows, len(elements) // rows]
        if self._has_batch_dimension:
            shape.insert(0, 1)
        tensor = self.message.inputs.add(name=name, datatype=datatype, shape=shape)
        try:
            encoded = [_utf8(element) for element in elements] if datatype == "BYTES" else elements
            getattr(tensor.contents, contents).extend(encoded)
        except (TypeError, ValueError) as error:  # of protobuf: out of range, not a number, no UTF-8
            message = f"{field} does not fit the model's {datatype}: {error}"
            raise InvalidRequestError(message, field=field) from None

    def put_if_offered(self, name: str, value: Value) -> None:
        """Write a tensor that nobody asked for, where the model has it."""
        if self.offers(name):
            self.put(name, value, field=name)

    def unsupported(self, field: str, reason: str) -> UnsupportedError:
        """The error for a field that this model cannot honour."""
        return UnsupportedError(
            f"model '{self.message.model_name}' cannot take {field}: {reason}", field=field
        )

    def refuse_alternatives(self, sampling: Sampling) -> None:
        """Raise UnsupportedError where more than one answer, or log probabilities, are wanted."""
        if sampling.n > 1:
            raise self.unsupported("n", "the gateway asks models for one answer per request")
        if sampling.logprobs:
            raise self.unsupported("logprobs", "the gateway does not translate log probabilities")

    def put_sampling(self, sampling: Sampling, names: dict[str, str]) -> None:
        """Write temperature, top_p, top_k, seed and penalties as tensors of their own.

        Args:
            sampling: what is wanted; None leaves a knob alone.
            names: the model's input for each field.
        """
        greedy = sampling.temperature == 0
        if greedy:
            # Old engines divide by the temperature; the best token alone is the same thing.
            self.put(names["top_k"], 1, field="temperature 0")
        for field, name in names.items():
            value = getattr(sampling, field)
            if value is None or (greedy and field in ("temperature", "top_k")):
                continue
            if value == _NEUTRAL.get(field) and not self.offers(name):
                continue
            self.put(name, value % 2**64 if field == "seed" else value, field=field)


_NEUTRAL = {"top_p": 1.0, "temperature": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Values that change nothing, which many clients send always."""


def _utf8(value: Value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
