"""Texts in raw tensors whose announced length runs past their end: refused here, never passed on.

Triton (2.51 at least) checks all about a BYTES input before it takes a request, except this. Its Python
backend finds out, and then fails all requests of the batch: one such message, sent to `ensemble`, ends the
requests of other callers that wait for `preprocessing` at the same moment.
"""

from __future__ import annotations

from sagesched_gateway.errors import InvalidRequestError
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
