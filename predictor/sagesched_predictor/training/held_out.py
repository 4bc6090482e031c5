"""Which prompts a shipped predictor never sees, so that anybody can check it: a rule, not a list."""

from __future__ import annotations

import hashlib

NUM_FOLDS = 5
HELD_OUT_FOLD = 0

RULE = (
    "fold = first four bytes (big-endian) of sha256(prompt with runs of white space as one space, stripped, "
    f"UTF-8) modulo {NUM_FOLDS}"
)


def fold_of(prompt: str) -> int:
    """The fold of a prompt, 0 to `NUM_FOLDS` - 1, the same whatever its white space."""
    text = " ".join(prompt.split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") % NUM_FOLDS
