"""The side channel by which true output lengths reach the emulated engine, past every gateway.

A real engine finds out how long an answer gets by generating it. The emulated one has to be told, and nobody
in front of it may know. So lengths go into a file that only the engine model reads, under the SHA-256 of the
prompt: JSONL, one line per request, `{"prompt_sha256": ..., "prompt_tokens": ..., "output_tokens": ...}`.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

UNKNOWN_MEDIAN_TOKENS = 200.0
UNKNOWN_SIGMA = 0.9
"""Lengths of prompts that are not in the file are lognormal: a plausible chat mix."""


class Answer(NamedTuple):
    """One answer as the engine will give it.

    Attributes:
        prompt_tokens: prompt length to reckon with; None to take the tokenizer's count.
        output_tokens: true output length, not yet cut at the request's max_tokens.
    """

    prompt_tokens: int | None
    output_tokens: int


class AnsweredRequest(Protocol):
    """What is written down of a trace's request."""

    @property
    def prompt(self) -> str:
        """The prompt's text."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Its length in tokens."""
        ...

    @property
    def output_tokens(self) -> int:
        """The true output length."""
        ...


class AnsweredTrace(Protocol):
    """A trace, as far as its answers go."""

    @property
    def requests(self) -> Sequence[AnsweredRequest]:
        """Requests in order of arrival."""
        ...


class Answers:
    """True lengths by prompt.

    The n-th time a prompt is asked for, it gets its n-th line, beginning again after the last.
    """

    def __init__(self, by_digest: dict[str, list[Answer]] | None = None) -> None:
        """Take answers by `prompt_digest`, each list non-empty; without any, every length is drawn."""
        self._by_digest = by_digest or {}
        self._asked: dict[str, int] = {}

    @classmethod
    def load(cls, path: Path) -> Answers:
        """Read a file made by `write_answers`.

        Raises:
            ValueError: a line is not what it should be; the message names it.
        """
        by_digest: dict[str, list[Answer]] = {}
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                digest, answer = _parsed(line, f"{path}:{number}")
                by_digest.setdefault(digest, []).append(answer)
        return cls(by_digest)

    def next(self, prompt: str) -> Answer:
        """The answer to this occurrence of the prompt."""
        digest = prompt_digest(prompt)
        occurrence = self._asked.get(digest, 0)
        self._asked[digest] = occurrence + 1
        known = self._by_digest.get(digest)
        if known is not None:
            return known[occurrence % len(known)]
        chance = random.Random(f"{digest}:{occurrence}")
        drawn = chance.lognormvariate(math.log(UNKNOWN_MEDIAN_TOKENS), UNKNOWN_SIGMA)
        return Answer(prompt_tokens=None, output_tokens=max(1, round(drawn)))


def prompt_digest(prompt: str) -> str:
    """SHA-256 of the prompt's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(prompt.encode("utf-8", errors="surrogatepass")).hexdigest()


def write_answers(path: Path, trace: AnsweredTrace | Iterable[AnsweredRequest]) -> None:
    """Write the true lengths of a trace, or of any requests, in their order."""
    requests = trace if isinstance(trace, Iterable) else trace.requests
    with path.open("w", encoding="utf-8") as out:
        for request in requests:
            line = {
                "prompt_sha256": prompt_digest(request.prompt),
                "prompt_tokens": request.prompt_tokens,
                "output_tokens": request.output_tokens,
            }
            out.write(json.dumps(line) + "\n")


def _parsed(line: str, where: str) -> tuple[str, Answer]:
    try:
        fields = json.loads(line)
        digest, output_tokens = fields["prompt_sha256"], int(fields["output_tokens"])
        prompt_tokens = fields.get("prompt_tokens")
        answer = Answer(None if prompt_tokens is None else int(prompt_tokens), output_tokens)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{where}: not an answer ({type(error).__name__}: {error}); expected "
            '{"prompt_sha256": hex, "prompt_tokens": int, "output_tokens": int}'
        ) from None
    if output_tokens < 1 or (answer.prompt_tokens is not None and answer.prompt_tokens < 1):
        raise ValueError(f"{where}: token counts must be at least 1")
    return str(digest), answer
