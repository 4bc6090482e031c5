"""Reading text out of responses: whole characters, each once.

A response brings either what is new (delta) or all text so far (cumulative). Bytes of a character that is
spread over two responses are held back until it is whole; in cumulative text such a character shows as U+FFFD
until then.

Some models do both, by version: `LearnedText` tells from the responses. Cumulative text always begins with
the text before it; new text does so only by chance (the same word twice). One response that does not is
proof of delta, two that do, and grow, are taken as proof of cumulative. Until one of them is there,
all after the first response is held back. What was found out is remembered for the model's other requests.
"""

from __future__ import annotations

import codecs
from itertools import pairwise
from typing import Protocol

from sagesched_gateway.errors import UpstreamError
from sagesched_gateway.kserve import ModelInferResponse
from sagesched_gateway.text import TextPiece
from sagesched_gateway.tokenizer import ModelTokenizer
from sagesched_gateway.triton.tensors import take_counts, text_bytes

TEXT_OUTPUT = "text_output"
FINISH_REASON = "finish_reason"
FINISH_REASONS = ("stop", "length")

_decoder = codecs.getincrementaldecoder("utf-8")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LEAST_PROOF_BYTES = 8  # shorter text repeats by chance
_MOST_UNPROVEN = 4  # responses that repeat the one before and bring nothing: no cumulative text does that


class Pieces(Protocol):
    """Puts an answer together."""

    def add(self, text: bytes) -> str:
        """The characters that a response's text adds."""
        ...

    def rest(self) -> str:
        """What is still held back when no response is to come."""
        ...


class DeltaText:
    """Each response brings new text."""

    def __init__(self) -> None:
        self._decoder = _decoder("replace")

    def add(self, text: bytes) -> str:
        """See `Pieces.add`."""
        return self._decoder.decode(text)

    def rest(self) -> str:
        """See `Pieces.rest`."""
        return self._decoder.decode(b"", final=True)


class CumulativeText:
    """Each response brings all text so far."""

    def __init__(self) -> None:
        self._shown = ""
        self._latest = ""

    def add(self, text: bytes) -> str:
        """See `Pieces.add`."""
        self._latest = text.decode("utf-8", "replace")
        return self._show(self._latest.rstrip(_REPLACEMENT))

    def rest(self) -> str:
        """See `Pieces.rest`."""
        return self._show(self._latest)

    def _show(self, text: str) -> str:
        if not text.startswith(self._shown):
            return ""  # a stop word was cut off again: nothing can be taken back
        new, self._shown = text[len(self._shown) :], text
        return new


class TextStyle:
    """What is known of a model's text.

    Attributes:
        is_cumulative: None until it is found out.
    """

    def __init__(self, *, is_cumulative: bool | None) -> None:
        self.is_cumulative = is_cumulative

    def pieces(self) -> Pieces:
        """For one more answer."""
        if self.is_cumulative is None:
            return LearnedText(self)
        return CumulativeText() if self.is_cumulative else DeltaText()


class LearnedText:
    """Finds out what its responses are, see the module."""

    def __init__(self, style: TextStyle) -> None:
        self._style = style
        self._seen: list[bytes] = []
        self._proof: list[bytes] = []
        self._shown = ""
        self._pieces: Pieces | None = None

    def add(self, text: bytes) -> str:
        """See `Pieces.add`."""
        if self._pieces is not None:
            return self._pieces.add(text)
        if not text:
            return ""
        self._seen.append(text)
        if not text.endswith(_REPLACEMENT.encode()):  # which may stand for a character that is to come
            self._proof.append(text)
        if len(self._seen) == 1:
            self._shown = CumulativeText().add(text)
            return self._shown
        is_cumulative = self._judgement()
        if is_cumulative is None:
            return ""
        self._style.is_cumulative = is_cumulative
        return self._read_again(CumulativeText() if is_cumulative else DeltaText())

    def rest(self) -> str:
        """See `Pieces.rest`: without proof, the likelier of the two, and nothing is remembered."""
        if self._pieces is not None:
            return self._pieces.rest()
        has_grown = self._proof != [] and len(self._proof[-1]) > len(self._proof[0])
        had_half_a_character = len(self._proof) < len(self._seen)  # new text is sent when it is whole
        is_cumulative = has_grown or had_half_a_character
        pieces: Pieces = CumulativeText() if is_cumulative else DeltaText()
        return self._read_again(pieces) + pieces.rest()

    def _judgement(self) -> bool | None:
        steps = list(pairwise(self._proof[-_MOST_UNPROVEN - 1 :]))
        if not all(now.startswith(before) for before, now in steps):
            return False
        growing = [before for before, now in steps if len(now) > len(before)]
        if len(growing) >= 2 and len(growing[-1]) >= _LEAST_PROOF_BYTES:
            return True
        return False if len(steps) - len(growing) >= _MOST_UNPROVEN else None

    def _read_again(self, pieces: Pieces) -> str:
        self._pieces = pieces
        text = "".join([pieces.add(seen) for seen in self._seen])
        return text[len(self._shown) :]


class AnswerReader:
    """See `TextReader`."""

    def __init__(
        self, pieces: Pieces, counts: tuple[str, str] | None, tokenizer: ModelTokenizer | None = None
    ) -> None:
        """Begin an answer.

        Args:
            pieces: puts its text together.
            counts: outputs that count input and output tokens; None where the model has none.
            tokenizer: counts the answer's tokens instead, at its end.
        """
        self._pieces = pieces
        self._counts = counts
        self._tokenizer = tokenizer
        self._answer: list[str] = []

    def read(self, response: ModelInferResponse) -> TextPiece:
        """See `TextReader.read`."""
        input_tokens = output_tokens = None
        if self._counts is not None:
            input_tokens, output_tokens = take_counts(response, self._counts, frozenset())
        return TextPiece(
            text=self._keep(self._pieces.add(_text_of(response))),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            finish_reason=_finish_reason(response),
        )

    def close(self) -> TextPiece:
        """See `TextReader.close`."""
        text = self._keep(self._pieces.rest())
        if self._tokenizer is None:
            return TextPiece(text=text)
        return TextPiece(text=text, output_tokens=len(self._tokenizer.encode("".join(self._answer))))

    def _keep(self, text: str) -> str:
        if self._tokenizer is not None:
            self._answer.append(text)
        return text


def _text_of(response: ModelInferResponse) -> bytes:
    text = text_bytes(response, TEXT_OUTPUT)
    if text is None:
        if response.outputs:
            names = ", ".join(output.name for output in response.outputs)
            raise UpstreamError(f"a response of the model has no '{TEXT_OUTPUT}', only {names}")
        return b""
    return text


def _finish_reason(response: ModelInferResponse) -> str | None:
    """As the model tells, where it tells; it says `None` while the answer goes on."""
    told = text_bytes(response, FINISH_REASON)
    reason = told.decode("utf-8", "replace") if told is not None else ""
    return reason if reason in FINISH_REASONS else None
