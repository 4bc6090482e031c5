"""The emulated model's tokenizer: lossless, so that token ids lead back to the very prompt.

Only token ids reach the engine model inside Triton; it decodes them to find out which request this is.
Byte-level BPE gives back any UTF-8 text exactly. The vocabulary is our own, see
`bench/train_emulator_tokenizer.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

TOKENIZER_PATH = Path(__file__).with_name("tokenizer.json")
"""The shipped vocabulary, in the `tokenizers` library's own format."""


class EmulatorTokenizer:
    """Text to token ids and back.

    Attributes:
        vocabulary: per token id the bytes it stands for.
    """

    def __init__(self, path: Path = TOKENIZER_PATH) -> None:
        """Load; raises OSError where the file is missing."""
        self._tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        self.vocabulary = _vocabulary_bytes(self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids; `decode` gives the text back."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes these tokens stand for; unknown ids stand for nothing.

        A part of a text may begin or end inside a character.
        """
        known = self.vocabulary.get
        return b"".join([known(token_id, b"") for token_id in ids])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these tokens, incomplete characters replaced by U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")


def _vocabulary_bytes(tokenizer: Tokenizer) -> dict[int, bytes]:
    """Undo the byte-level alphabet, in which every byte is written as one printable character."""
    to_byte = {character: byte for byte, character in _byte_level_alphabet().items()}
    return {
        token_id: bytes(to_byte[character] for character in token)
        for token, token_id in tokenizer.get_vocab().items()
    }


def _byte_level_alphabet() -> dict[int, str]:
    """The character for each byte: itself where printable, else the next from U+0100 on, as GPT-2 has it."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {byte: chr(byte) for byte in printable}
    alphabet.update({byte: chr(0x100 + place) for place, byte in enumerate(others)})
    return alphabet
