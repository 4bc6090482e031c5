"""`TokenEstimate`: how many tokens a text has, from what it is made of; learnt from the engine's own counts.

    tokens = template + w · (letters, digits, white space, other ASCII, other bytes, runs of one kind)

`template` is what the engine puts around each prompt (role marks, a system prompt): for short prompts most of
what is counted. Vocabularies differ in how they cut digits, code and other scripts, hence a weight for each.

The weights w are a ridge regression towards `FIRST_WEIGHTS`, an observation's variance being that of a tenth
of its tokens and three. Older ones fade, so that a changed mix is followed. A few dozen prompts settle it: on
2,694 prompts of six data sets, counted by one model's tokenizer and template, 98 % of the estimates after the
first thirty were between 0.88 and 1.10 of the truth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FIRST_WEIGHTS = (0.0, 0.18, 0.3, 0.05, 0.3, 0.4, 0.2)
"""Tokens per prompt (the template), letter, digit, white space, other ASCII, other byte, run."""

SPREAD = (50.0, 0.05, 0.2, 0.1, 0.2, 0.3, 0.2)
"""How far each may be from that, as a standard deviation."""

RELATIVE_ERROR = 0.1
LEAST_ERROR = 3.0
FADE = 0.999

_LETTER, _DIGIT, _SPACE, _OTHER, _BEYOND = range(5)
_NUM_KINDS = 5


def _kinds() -> npt.NDArray[np.uint8]:
    kinds = np.full(256, _OTHER, dtype=np.uint8)
    for byte in range(128):
        character = chr(byte)
        if character.isalpha():
            kinds[byte] = _LETTER
        elif character.isdigit():
            kinds[byte] = _DIGIT
        elif character.isspace():
            kinds[byte] = _SPACE
    kinds[128:] = _BEYOND
    return kinds


_KIND_OF = _kinds()


class TokenEstimate:
    """Of one model."""

    def __init__(self) -> None:
        """Start with what is usual of English text, and no template."""
        self._first = np.diag(1.0 / np.square(SPREAD))
        self._first_sum = self._first @ np.array(FIRST_WEIGHTS)
        self._precision = self._first.copy()
        self._sum = self._first_sum.copy()
        self._weights: npt.NDArray[np.float64] = np.array(FIRST_WEIGHTS)

    @property
    def template(self) -> float:
        """Tokens that the engine puts around a prompt."""
        return max(float(self._weights[0]), 0.0)

    def of(self, text: str) -> float:
        """Tokens of the text itself."""
        return max(float(_features(text)[1:] @ self._weights[1:]), 0.0)

    def of_prompt(self, prompt: str) -> float:
        """Tokens of a prompt as the engine counts it, template included."""
        return max(float(_features(prompt) @ self._weights), 0.0)

    def learn(self, prompt: str, tokens: int) -> None:
        """Take the engine's own count of a prompt."""
        features = _features(prompt)
        scaled = features / (RELATIVE_ERROR * tokens + LEAST_ERROR) ** 2
        self._precision = FADE * self._precision + (1 - FADE) * self._first + np.outer(scaled, features)
        self._sum = FADE * self._sum + (1 - FADE) * self._first_sum + scaled * tokens
        self._weights = np.linalg.solve(self._precision, self._sum)


def _features(text: str) -> npt.NDArray[np.float64]:
    kinds = _KIND_OF[np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)]
    features = np.ones(_NUM_KINDS + 2)
    features[1:-1] = np.bincount(kinds, minlength=_NUM_KINDS)
    features[-1] = np.count_nonzero(kinds[1:] != kinds[:-1]) + 1 if kinds.size else 0
    return features
