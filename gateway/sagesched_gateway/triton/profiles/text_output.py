"""Reading text out of responses: whole characters, each once.

A response brings either what is new (delta) or all text so far (cumulative). Bytes of a character that is
spread over two responses are held back until it is whole.
"""

from __future__ import annotations

import codecs

from sagesched_gateway.errors import UpstreamError
from sagesched_gateway.kserve import ModelInferResponse
from sagesched_gateway.text import TextPiece
from sagesched_gateway.triton.tensors import take_counts, text_bytes

TEXT_OUTPUT = "text_output"

_decoder = codecs.getincrementaldecoder("utf-8")


class Characters:
    """Bytes to text; an incomplete character waits for its rest."""

    def __init__(self) -> None:
        self._decoder = _decoder("replace")

    def add(self, piece: bytes) -> str:
        """The characters that are whole now."""
        return self._decoder.decode(piece)

    def rest(self) -> str:
        """What is still held back, as U+FFFD; empty as a rule."""
        return self._decoder.decode(b"", final=True)


def text_of(response: ModelInferResponse) -> bytes:
    """The response's text; raises UpstreamError where it has none though it has outputs."""
    text = text_bytes(response, TEXT_OUTPUT)
    if text is None:
        if response.outputs:
            names = ", ".join(output.name for output in response.outputs)
            raise UpstreamError(f"a response of the model has no '{TEXT_OUTPUT}', only {names}")
        return b""
    return text


class DeltaReader:
    """See `TextReader`: each response brings new text and, where asked, counts."""

    def __init__(self, counts: tuple[str, str]) -> None:
        """Take the names of the outputs that count input and output tokens."""
        self._counts = counts
        self._characters = Characters()

    def read(self, response: ModelInferResponse) -> TextPiece:
        """See `TextReader.read`."""
        input_tokens, output_tokens = take_counts(response, self._counts, frozenset())
        text = self._characters.add(text_of(response))
        return TextPiece(text=text, input_tokens=input_tokens, output_tokens=output_tokens)

    def close(self) -> TextPiece:
        """See `TextReader.close`."""
        return TextPiece(text=self._characters.rest())
