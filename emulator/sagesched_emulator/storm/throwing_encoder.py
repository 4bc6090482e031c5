"""An encoder that throws: the real one, whose tokenizer knows a word that its network does not.

Tokenizer and network of different releases fail so: the word's id lies beyond the network's table, and ONNX
Runtime raises in the midst of a batch. Everything else is encoded as ever.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sagesched_predictor.artifact import CARD_FILE, TOKENIZER_FILE, file_sha256

UNKNOWN_WORD = "unencodable"
"""A prompt with this word cannot be encoded, nor can those in one batch with it."""


def make_throwing_encoder(encoder: Path, folder: Path) -> Path:
    """Copy an encoder's folder, its tokenizer changed; returns the copy, a folder inside `folder`."""
    copy = folder / "throwing-encoder"
    shutil.copytree(encoder, copy)
    tokenizer = json.loads((encoder / TOKENIZER_FILE).read_text(encoding="utf-8"))
    tokenizer["added_tokens"].append(
        {
            "id": len(tokenizer["model"]["vocab"]),
            "content": UNKNOWN_WORD,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    )
    (copy / TOKENIZER_FILE).write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    card = json.loads((encoder / CARD_FILE).read_text(encoding="utf-8"))
    card["sha256"][TOKENIZER_FILE] = file_sha256(copy / TOKENIZER_FILE)
    (copy / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    return copy
