"""`ModelTokenizer`: the served model's own vocabulary, from `tokenizer.json`.

It counts prompts, and where a model takes and gives token ids it turns text into them and back. Loaded once;
without one the gateway does without the library.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
_CONFIG = "tokenizer_config.json"


class ModelTokenizer:
    """Text to token ids and back. All methods may be called from any thread.

    Attributes:
        end_id: the token that ends an answer; None where nothing beside the vocabulary tells.
    """

    def __init__(self, path: str) -> None:
        """Load.

        Args:
            path: the file, or a folder that holds it as `tokenizer.json`.

        Raises:
            ValueError: there is no tokenizer that the library understands.
        """
        given = Path(path)
        file = given / FILE if given.is_dir() else given
        self._tokenizer = _load(file)
        self.end_id = _end_id(file.with_name(_CONFIG), self._tokenizer)

    def count(self, text: str) -> int:
        """Tokens of a text, special ones included."""
        (encoding,) = self._tokenizer.encode_batch_fast([text])
        return len(encoding.ids)

    def encode_prompt(self, prompt: str) -> list[int]:
        """Token ids of a prompt, begun as the model wants it; a beginning that is there is not doubled."""
        ids: list[int] = self._tokenizer.encode(prompt).ids
        plain: list[int] = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        is_doubled = len(ids) > len(plain) > 0 and ids[0] == plain[0] and ids[1 : 1 + len(plain)] == plain
        return ids[1:] if is_doubled else ids

    def encode(self, text: str) -> list[int]:
        """Token ids of a text and nothing besides."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens; special ones and unknown ones stand for nothing."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text


class IncrementalText:
    """Token ids to text as they come: whole characters, each once.

    A token's text depends on its neighbours (leading spaces, characters spread over tokens), so tokens are
    decoded together with those before them, and text that ends inside a character is held back.
    """

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        self._tokenizer = tokenizer
        self._context: list[int] = []  # already shown, but needed to decode what follows
        self._pending: list[int] = []

    def add(self, ids: Sequence[int]) -> str:
        """The text that is whole now."""
        self._pending += ids
        shown, text = self._texts()
        if len(text) <= len(shown) or text.endswith(_INCOMPLETE):
            return ""
        self._context, self._pending = self._pending, []
        return text[len(shown) :]

    def rest(self) -> str:
        """What is still held back: half a character, or nothing."""
        shown, text = self._texts()
        self._context, self._pending = [], []
        return text[len(shown) :]

    def _texts(self) -> tuple[str, str]:
        return self._tokenizer.decode(self._context), self._tokenizer.decode(self._context + self._pending)


_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


def _load(file: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"tokenizer {file}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # the library raises plain Exception for a file of another format
        raise ValueError(
            f"tokenizer {file}: not a tokenizer.json of the tokenizers library: {error}"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _end_id(config: Path, tokenizer: Tokenizer) -> int | None:
    """The id of `eos_token` in the file that usually lies beside the vocabulary."""
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"tokenizer {config}: cannot be read: {error}") from error
    token = document.get("eos_token") if isinstance(document, dict) else None
    if isinstance(token, dict):
        token = token.get("content")
    return tokenizer.token_to_id(token) if isinstance(token, str) else None
