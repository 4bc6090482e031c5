"""The values of one tensor: JSON to KServe's raw bytes and back, and the shape a list of values takes. Pure.

Raw bytes are little-endian and row-major; an element of a BYTES tensor is a length (u32) and as many bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from sagesched_gateway.errors import InternalError, InvalidRequestError

Json: TypeAlias = Any
"""A value as `json.loads` gives it."""

_INTEGERS = {"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q"} | {
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
}
_FLOATS = {"FP32": "f", "FP64": "d"}
_CODES = _INTEGERS | _FLOATS | {"BOOL": "?"}
_DEEPEST = 16
"""Nested lists beyond this depth are no tensor."""


def flat(name: str, value: Json, depth: int = 0) -> Iterator[Json]:
    """The elements of a scalar or of (nested) lists, in order."""
    if not isinstance(value, list):
        yield value
        return
    if depth == _DEEPEST:
        raise InvalidRequestError(f"input '{name}': lists nested too deep")
    for item in value:
        yield from flat(name, item, depth + 1)


def spread(name: str, shape: Sequence[int], count: int) -> list[int]:
    """The shape for `count` elements: the innermost open dimension (-1) takes what the fixed ones leave.

    Raises:
        InvalidRequestError: `count` elements cannot fill the shape.
    """
    refusal = InvalidRequestError(
        f"The schema can not convert input '{name}' to tensor with proper shape; "
        f"the model wants {list(shape)}"
    )
    for size in shape:
        if size > 0 and count % size == 0:
            count //= size
        elif size >= 0:
            raise refusal
    result = list(shape)
    for position in reversed(range(len(result))):
        if result[position] == -1:
            result[position], count = count, 1
    if count != 1:
        raise refusal
    return result


def pack(name: str, datatype: str, values: list[Json]) -> bytes:
    """Raw bytes of an input tensor.

    Raises:
        InvalidRequestError: a value is not of the datatype, or JSON cannot carry the datatype.
    """
    if datatype == "BYTES":
        texts = [to_utf8(name, value) for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if datatype not in _CODES:
        raise InvalidRequestError(
            f"receiving {datatype} data via JSON is not supported. "
            f"Please use the binary data format for input {name}"
        )
    check = _integer if datatype in _INTEGERS else to_float if datatype in _FLOATS else _bool
    checked = [check(name, value) for value in values]
    try:
        return struct.pack(f"<{len(checked)}{_CODES[datatype]}", *checked)
    except (struct.error, OverflowError) as error:
        raise InvalidRequestError(f"input '{name}': a value is out of range for {datatype}") from error


def unpack(name: str, datatype: str, count: int, raw: bytes) -> list[Json]:
    """The `count` values of an output tensor; bytes that are not UTF-8 become surrogate escapes.

    Raises:
        InvalidRequestError: JSON cannot carry the datatype.
        InternalError: the bytes do not hold `count` values.
    """
    if datatype == "BYTES":
        return _strings(name, count, raw)
    if datatype not in _CODES:
        raise InvalidRequestError(
            f"sending {datatype} data via JSON is not supported. "
            f"Please use the binary data format for output {name}"
        )
    layout = struct.Struct(f"<{count}{_CODES[datatype]}")
    if layout.size != len(raw):
        raise _mismatch(name)
    return list(layout.unpack(raw))


def to_utf8(name: str, value: Json) -> bytes:
    """The bytes of a string; refuses anything else."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"'{name}' must be a string or a list of strings, not {_shown(value)}")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"'{name}': the surrogate pair in the string is invalid") from error


def to_float(name: str, value: Json) -> float:
    """A number as float; refuses anything else, truth values included."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidRequestError(f"'{name}' wants numbers, not {_shown(value)}")
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidRequestError(f"'{name}': a value is out of range") from error


def _integer(name: str, value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequestError(f"'{name}' wants whole numbers, not {_shown(value)}")
    return value


def _bool(name: str, value: Json) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"'{name}' wants true or false, not {_shown(value)}")
    return value


def _shown(value: Json) -> str:
    return json.dumps(value)[:60]


def _strings(name: str, count: int, raw: bytes) -> list[str]:
    texts: list[str] = []
    offset = 0
    for _ in range(count):
        start = offset + 4
        offset = start + int.from_bytes(raw[offset:start], "little")
        if offset > len(raw):
            raise _mismatch(name)
        texts.append(raw[start:offset].decode("utf-8", "surrogateescape"))
    return texts


def _mismatch(name: str) -> InternalError:
    return InternalError(f"output tensor shape does not match size of output for '{name}'")
