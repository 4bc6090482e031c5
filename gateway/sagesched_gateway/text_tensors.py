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
_SHARED_MEMORY = "shared_memory_region"


def refuse_cut_texts(message: ModelInferRequest) -> None:
    """Look at all raw texts of a request.

    Raises:
        InvalidRequestError: one is longer than its bytes.
        TooLargeError: there are more than `MOST_VALUES` in one tensor, or more than `MOST_TENSORS` tensors.
    """
    if max(len(message.inputs), len(message.outputs), len(message.parameters)) > MOST_TENSORS:
        raise TooLargeError(f"a request may have {MOST_TENSORS} inputs, outputs and parameters, not more")
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
