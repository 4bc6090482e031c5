"""Whatever the text, whatever the chunks, whatever the style: the pieces are valid and make up the text."""

from __future__ import annotations

import struct
from functools import cache
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from sagesched_emulator.tokenizer import TOKENIZER_PATH, EmulatorTokenizer
from sagesched_gateway.kserve import ModelInferResponse
from sagesched_gateway.tokenizer import IncrementalText, ModelTokenizer
from sagesched_gateway.triton.profiles.text_output import AnswerReader, TextStyle

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
CUTS = st.lists(st.integers(0, 200), max_size=30)
SMILES = "🙂 ärger 你好 🧑‍🚀 e\u0301"


@cache
def tokenizers() -> tuple[EmulatorTokenizer, ModelTokenizer]:
    return EmulatorTokenizer(), ModelTokenizer(str(TOKENIZER_PATH))


def chunks(whole, cuts):
    """Parts of it, cut anywhere."""
    edges = [0, *sorted({cut for cut in cuts if cut < len(whole)}), len(whole)]
    return [whole[first:last] for first, last in pairwise(edges)]


def check(pieces: list[str], text: str) -> None:
    assert "".join(pieces) == text
    for piece in pieces:
        piece.encode()
        assert REPLACEMENT in text or REPLACEMENT not in piece


@given(TEXT, CUTS)
@example(SMILES, list(range(200)))
@example(REPLACEMENT * 3, list(range(20)))
def test_tokens_in_any_chunks_become_the_very_text(text, cuts):
    encoder, tokenizer = tokenizers()
    reader = IncrementalText(tokenizer)
    pieces = [reader.add(part) for part in chunks(encoder.encode(text), cuts)]
    check([*pieces, reader.rest()], text)


def a_response(text: bytes) -> ModelInferResponse:
    response = ModelInferResponse()
    response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    response.raw_output_contents.append(struct.pack("<I", len(text)) + text)
    return response


def pieces_of(style: TextStyle, responses: list[bytes]) -> list[str]:
    reader = AnswerReader(style.pieces(), None)
    return [*(reader.read(a_response(text)).text for text in responses), reader.close().text]


@given(TEXT, CUTS)
@example(SMILES, list(range(200)))
def test_new_text_in_any_chunks_becomes_the_very_text(text, cuts):
    check(pieces_of(TextStyle(is_cumulative=False), chunks(text.encode(), cuts)), text)


def so_far(text: str, cuts) -> list[bytes]:
    """What a model sends that decodes all tokens so far, each time."""
    encoder, _ = tokenizers()
    ids = encoder.encode(text)
    edges = [*sorted({cut for cut in cuts if 0 < cut < len(ids)}), len(ids)]
    return [encoder.decode(ids[:edge]).encode() for edge in edges]


@given(TEXT, CUTS)
@example(SMILES, list(range(200)))
def test_cumulative_text_becomes_the_very_text(text, cuts):
    check(pieces_of(TextStyle(is_cumulative=True), so_far(text, cuts)), text)


@given(TEXT, CUTS, TEXT, CUTS)
@example(SMILES, list(range(200)), SMILES, list(range(200)))
def test_cumulative_text_is_found_out_and_remembered(text, cuts, other, other_cuts):
    style = TextStyle(is_cumulative=None)
    for each, edges in ((text, cuts), (other, other_cuts)):
        pieces = pieces_of(style, so_far(each, edges))
        assert style.is_cumulative is not False
        check(pieces, each)


WORDS = st.lists(st.sampled_from([" the", " a", "🙂", " river", ".", "\n"]), max_size=30)


@given(WORDS, WORDS)
@example([" a", " a", " a", " a", " a", " a"], [" a"])
@example(["\n"], ["\n", "\n"])
def test_new_text_is_found_out_and_remembered(words, others):
    style = TextStyle(is_cumulative=None)
    for each in (words, others):
        pieces = pieces_of(style, [word.encode() for word in each])
        assert style.is_cumulative is not True
        check(pieces, "".join(each))
