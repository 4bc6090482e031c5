"""What one caller could do to all others by a text tensor: refused here, never passed on to any model.

- A text in raw bytes whose announced length runs past their end. Triton (2.51 at least) checks all about a
  BYTES input before it takes a request, except this. Its Python backend finds out, and then fails all
  requests of the batch: one such message, sent to `ensemble`, ends the requests of other callers that wait
  for `preprocessing` at the same moment. Triton's HTTP front end finds out by itself.
- The classes of a text output: Triton 2.51 crashes.
"""

from __future__ import annotations

from collections.abc import Collection

from sagesched_gateway.errors import InvalidRequestError, UnsupportedError
from sagesched_gateway.kserve import ModelInferRequest

_LENGTH_BYTES = 4
_SHARED_MEMORY = "shared_memory_region"


def refuse_cut_texts(message: ModelInferRequest) -> None:
    """Look at all raw texts of a request.

    Raises:
        InvalidRequestError: one is longer than its bytes.
    """
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
    while begin <= len(contents):
        size = int.from_bytes(contents[begin - _LENGTH_BYTES : begin], "little")
        if size > len(contents) - begin:
            raise InvalidRequestError(
                f"incomplete string data for inference input '{name}', expecting string of length {size} "
                f"but only {len(contents) - begin} bytes available",
                field=name,
            )
        begin += size + _LENGTH_BYTES
