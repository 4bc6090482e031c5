"""Reading and editing tensors inside KServe messages, be they typed `contents` or raw bytes.

Raw entries line up with tensors by position, skipping tensors that live in shared memory; a raw BYTES element
is a little-endian u32 length and the bytes. If one tensor is raw, all are.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError
from sagesched_gateway.kserve import MOST_VALUES, ModelInferRequest, ModelInferResponse
from sagesched_gateway.request import OutOfReachError

_SHARED_MEMORY = "shared_memory_region"
_RAW_INTEGERS = {
    "BOOL": "<?",
    "INT8": "<b",
    "UINT8": "<B",
    "INT16": "<h",
    "UINT16": "<H",
    "INT32": "<i",
    "UINT32": "<I",
    "INT64": "<q",
    "UINT64": "<Q",
}
_FLOATS = {"FP32": ("<f", "fp32_contents"), "FP64": ("<d", "fp64_contents")}
_TYPED_INTEGERS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "UINT8": "uint_contents",
    "INT16": "int_contents",
    "UINT16": "uint_contents",
    "INT32": "int_contents",
    "UINT32": "uint_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
}


class Inputs:
    """The input tensors of one request, found by name and read on demand."""

    __slots__ = ("_by_name", "_message")

    def __init__(self, message: ModelInferRequest) -> None:
        self._message = message
        self._by_name: dict[str, tuple[object, int | None]] = {}
        position = 0
        for tensor in message.inputs:
            if _SHARED_MEMORY in tensor.parameters:
                self._by_name[tensor.name] = (tensor, None)
                continue
            self._by_name[tensor.name] = (tensor, position)
            position += 1

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def shape(self, name: str) -> list[int]:
        """The tensor's shape as sent, batch dimension included."""
        tensor, _ = self._by_name[name]
        return list(tensor.shape)  # type: ignore[attr-defined]

    def integers(self, name: str) -> list[int]:
        """All elements of an integer or boolean tensor.

        Raises:
            InvalidRequestError: absent, in shared memory, or of another type.
            UnsupportedError: more than `MOST_VALUES`.
        """
        tensor, raw = self._located(name)
        datatype: str = tensor.datatype  # type: ignore[attr-defined]
        if datatype not in _RAW_INTEGERS:
            raise InvalidRequestError(f"input '{name}' has data type {datatype}, expected an integer")
        if raw is None:
            contents = getattr(tensor.contents, _TYPED_INTEGERS[datatype])  # type: ignore[attr-defined]
            _refuse_masses(name, len(contents))
            return [int(value) for value in contents]
        layout = _RAW_INTEGERS[datatype]
        _refuse_masses(name, len(raw) // struct.calcsize(layout))
        if len(raw) % struct.calcsize(layout):
            raise InvalidRequestError(f"input '{name}' has {len(raw)} bytes, no multiple of its element size")
        return [int(value) for (value,) in struct.iter_unpack(layout, raw)]

    def number(self, name: str) -> float | None:
        """The first element of a number tensor; None where there is none, or none that is a number."""
        if name not in self._by_name:
            return None
        tensor, _ = self._by_name[name]
        datatype: str = tensor.datatype  # type: ignore[attr-defined]
        try:
            if datatype in _RAW_INTEGERS:
                return float(self.integers(name)[0])
            layout, contents = _FLOATS[datatype]
            element = self._located(name)[1]
            if element is None:
                number = float(getattr(tensor.contents, contents)[0])  # type: ignore[attr-defined]
            else:
                number = float(struct.unpack_from(layout, element)[0])
        except (InvalidRequestError, KeyError, IndexError, struct.error):
            return None
        return number if math.isfinite(number) else None

    def texts(self, name: str) -> list[str]:
        """All elements of a BYTES tensor, decoded as UTF-8 (undecodable bytes replaced).

        Raises:
            InvalidRequestError: absent, in shared memory, of another type, or cut off.
            UnsupportedError: typed, and more than `MOST_VALUES` (of raw ones, `text_tensors` has seen to it).
        """
        tensor, raw = self._located(name)
        if tensor.datatype != "BYTES":  # type: ignore[attr-defined]
            raise InvalidRequestError(f"input '{name}' must have data type BYTES")
        if raw is not None:
            return [element.decode("utf-8", "replace") for element in _raw_elements(name, raw)]
        elements = tensor.contents.bytes_contents  # type: ignore[attr-defined]
        _refuse_masses(name, len(elements))
        return [element.decode("utf-8", "replace") for element in elements]

    def _located(self, name: str) -> tuple[object, bytes | None]:
        """The tensor and its raw bytes, or None where its contents are typed."""
        try:
            tensor, position = self._by_name[name]
        except KeyError:
            raise InvalidRequestError(f"input '{name}' is missing") from None
        if position is None:
            raise OutOfReachError(name)
        raw = self._message.raw_input_contents
        if not raw:
            return tensor, None
        if position >= len(raw):
            raise InvalidRequestError(f"input '{name}' has no raw contents")
        return tensor, raw[position]


def _refuse_masses(name: str, count: int) -> None:
    if count > MOST_VALUES:
        raise UnsupportedError(f"input '{name}' has {count} elements, more than {MOST_VALUES}", field=name)


def _raw_elements(name: str, raw: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(raw):
        end = offset + 4
        if end > len(raw):
            raise InvalidRequestError(f"input '{name}' is cut off")
        (size,) = struct.unpack_from("<I", raw, offset)
        if end + size > len(raw):
            raise InvalidRequestError(f"input '{name}' is cut off")
        yield raw[end : end + size]
        offset = end + size


def add_flag(message: ModelInferRequest, name: str, *, batch: int | None, raw: bool) -> None:
    """Append a BOOL input that is true.

    Args:
        message: edited in place.
        name: name of the input.
        batch: size of the leading batch dimension; None where the model has none.
        raw: as raw bytes, else typed; as the tensors are that it will stand beside.
    """
    tensor = message.inputs.add(name=name, datatype="BOOL", shape=[1] if batch is None else [batch, 1])
    if raw:
        message.raw_input_contents.append(b"\x01" * (batch or 1))
    else:
        tensor.contents.bool_contents.extend([True] * (batch or 1))


def text_bytes(response: ModelInferResponse, name: str) -> bytes | None:
    """The first element of a BYTES output; None where the response does not have it."""
    for index, tensor in enumerate(response.outputs):
        if tensor.name != name:
            continue
        if index < len(response.raw_output_contents):
            raw = response.raw_output_contents[index]
            return next(_raw_elements(name, raw), None)
        return next(iter(tensor.contents.bytes_contents), None)
    return None


def output_integers(response: ModelInferResponse, name: str) -> list[int] | None:
    """All elements of an integer output; None where the response does not have it."""
    for index, tensor in enumerate(response.outputs):
        if tensor.name != name or tensor.datatype not in _RAW_INTEGERS:
            continue
        if index < len(response.raw_output_contents):
            layout = _RAW_INTEGERS[tensor.datatype]
            raw = response.raw_output_contents[index]
            return [int(value) for (value,) in struct.iter_unpack(layout, raw)]
        return [int(value) for value in getattr(tensor.contents, _TYPED_INTEGERS[tensor.datatype])]
    return None


def take_counts(
    response: ModelInferResponse, names: tuple[str, ...], hidden: frozenset[str]
) -> list[int | None]:
    """Sums of integer outputs, in one pass from the back since it runs for every token of every stream.

    Args:
        response: edited in place.
        names: outputs to read.
        hidden: those of them to remove.

    Returns:
        One sum per name; None where the output is absent or no integer.
    """
    found: list[int | None] = [None] * len(names)
    outputs, raw = response.outputs, response.raw_output_contents
    num_raw = len(raw)
    for index in range(len(outputs) - 1, -1, -1):
        tensor = outputs[index]
        name = tensor.name
        if name not in names:
            continue
        found[names.index(name)] = _sum(tensor, raw[index] if index < num_raw else None)
        if name in hidden:
            del outputs[index]
            if index < num_raw:
                del raw[index]
    return found


def _sum(tensor: object, raw: bytes | None) -> int | None:
    datatype: str = tensor.datatype  # type: ignore[attr-defined]
    if raw is not None and len(raw) == 4 and datatype == "INT32":
        return int.from_bytes(raw, "little", signed=True)
    layout = _RAW_INTEGERS.get(datatype)
    if layout is None:
        return None
    if raw is None:
        contents = tensor.contents  # type: ignore[attr-defined]
        return int(sum(getattr(contents, _TYPED_INTEGERS[datatype])))
    if len(raw) % struct.calcsize(layout):
        return None
    return int(sum(value for (value,) in struct.iter_unpack(layout, raw)))
