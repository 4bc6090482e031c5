"""What one caller could do to all others by its tensors: refused here, never passed on to any model.

- A text in raw bytes whose announced length runs past their end. Triton (2.51 at least) checks all about a
  BYTES input before it takes a request, except this. Its Python backend finds out, and then fails all
  requests of the batch: one such message, sent to `ensemble`, ends the requests of other callers that wait
  for `preprocessing` at the same moment. Triton's HTTP front end finds out by itself.
- The classes of a text output: Triton 2.51 crashes.
- Millions of inputs, outputs, parameters or texts: to look at them one by one takes seconds, of this process.
"""

from __future__ import annotations

from collections.abc import Collection

from sagesched_gateway.errors import InvalidRequestError, TooLargeError, UnsupportedError
from sagesched_gateway.kserve import MOST_VALUES, ModelInferRequest

MOST_TENSORS = 1024
"""Inputs, outputs or parameters of one request."""

_LENGTH_BYTES = 4
_NUMBER, _LENGTH_DELIMITED = 0, 2  # protobuf's wire types
_FIXED_BYTES = {1: 8, 5: 4}
_SHARED_MEMORY = "shared_memory_region"


_SMALL_BYTES = 2**20
_MOST_FIELDS = (
    4 * MOST_TENSORS + 16
)  # inputs and their raw contents, outputs, parameters, and what comes once


def refuse_many_fields(body: bytes) -> None:
    """Look at the outermost fields of a large encoded request, which need far more memory decoded.

    Raises:
        TooLargeError: there are more of them than a request may have; others are left to the decoder.
    """
    if len(body) <= _SMALL_BYTES:
        return
    at = 0
    try:
        for _ in range(_MOST_FIELDS):
            if at >= len(body):
                return
            tag, at = _varint(body, at)
            kind = tag & 7
            if kind in (_NUMBER, _LENGTH_DELIMITED):
                value, at = _varint(body, at)
                at += value if kind == _LENGTH_DELIMITED else 0
            else:
                at += _FIXED_BYTES.get(kind, 0)
    except IndexError:
        return
    if at < len(body):
        raise _too_many()


def refuse_cut_texts(message: ModelInferRequest) -> None:
    """Look at all raw texts of a request.

    Raises:
        InvalidRequestError: one is longer than its bytes.
        TooLargeError: there are more than `MOST_VALUES` in one tensor, or more than `MOST_TENSORS` tensors.
    """
    if max(len(message.inputs), len(message.outputs), len(message.parameters)) > MOST_TENSORS:
        raise _too_many()
    raw = message.raw_input_contents
    if not raw:
        return
    position = 0
    for tensor in message.inputs:
        if _SHARED_MEMORY in tensor.parameters:
            continue
        if tensor.datatype == "BYTES" and position < len(raw):
            _refuse_cut(tensor.name, raw[position])
        position += 1


def refuse_classes_of_texts(message: ModelInferRequest, text_outputs: Collection[str]) -> None:
    """Look at all outputs that are asked for.

    Raises:
        UnsupportedError: one of `text_outputs` is wanted as classes.
    """
    for output in message.outputs:
        if output.name in text_outputs and "classification" in output.parameters:
            raise UnsupportedError(
                f"output '{output.name}' is text and has no classification", field=output.name
            )


def _refuse_cut(name: str, contents: bytes) -> None:
    begin = _LENGTH_BYTES
    for _ in range(MOST_VALUES + 1):
        if begin > len(contents):
            return
        size = int.from_bytes(contents[begin - _LENGTH_BYTES : begin], "little")
        if size > len(contents) - begin:
            raise InvalidRequestError(
                f"incomplete string data for inference input '{name}', expecting string of length {size} "
                f"but only {len(contents) - begin} bytes available",
                field=name,
            )
        begin += size + _LENGTH_BYTES
    raise TooLargeError(f"input '{name}' holds more than {MOST_VALUES} texts; send them in several requests")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number there, and where it ends; raises IndexError where the body ends before."""
    value = shift = 0
    while (byte := body[at]) & 0x80 and shift < 64:
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | byte << shift, at + 1


def _too_many() -> TooLargeError:
    return TooLargeError(f"a request may have {MOST_TENSORS} inputs, outputs and parameters, not more")
