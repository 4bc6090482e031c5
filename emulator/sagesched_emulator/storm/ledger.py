"""`Ledger`: what every request of a storm was told, and whether that is what it should have been told. PURE.

The emulated engine's answer follows from the prompt, so each request knows its own: what it hears must be a
beginning of that and of nothing else. A request ends exactly once: complete, or with an error that has a
name, or because its client went away. A stream that just ends, short of the answer and without an error, is
a loss.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_model.answer_text import AnswerText

COMPLETE = "complete"
LEFT = "left"
"""The client went away by itself."""


@dataclass(slots=True)
class Ask:
    """One request, and what became of it.

    Attributes:
        id: unique within the storm.
        prompt: likewise.
        tokens: length of its answer.
        answer: the whole of it; None for a request that must fail.
        allowed: pattern of errors that it may end with, besides those of troubles.
        text: what it heard so far.
        ends: how it ended; one entry where all is well.
    """

    id: str
    prompt: str
    tokens: int
    answer: str | None
    allowed: str = "(?!)"
    text: str = ""
    ends: list[str] = field(default_factory=list)


class Ledger:
    """All requests of a storm.

    Attributes:
        problems: what went wrong, in words; empty where nothing was lost.
        errors: errors by name that requests ended with.
    """

    def __init__(self, excused: str) -> None:
        """Start empty.

        Args:
            excused: pattern of errors that any request may end with, because of the troubles.
        """
        self.problems: list[str] = []
        self.errors: Counter[str] = Counter()
        self._excused = excused
        self._tokenizer = EmulatorTokenizer()
        self._text = AnswerText(self._tokenizer)
        self._asks: dict[str, Ask] = {}

    def ask(self, id: str, prompt: str, tokens: int, allowed: str = "(?!)") -> Ask:
        """Enter a request that has an answer."""
        ids = self._text.tokens(self._text.offset(prompt), 0, tokens)
        return self._enter(Ask(id, prompt, tokens, self._tokenizer.decode(ids.tolist()), allowed))

    def ask_wrongly(self, id: str, allowed: str) -> Ask:
        """Enter a request that must fail."""
        return self._enter(Ask(id, "", 0, None, allowed))

    def heard(self, id: str, text: str) -> None:
        """A request got a piece of an answer."""
        ask = self._known(id)
        if ask is None:
            return
        if ask.ends:
            self._problem(ask, f"heard {text!r} after its end")
        ask.text += text

    def ended(self, id: str, how: str) -> None:
        """A request has ended: `COMPLETE`, `LEFT` or the name of an error."""
        ask = self._known(id)
        if ask is not None:
            ask.ends.append(how)

    def close(self) -> Counter[str]:
        """Judge all requests; returns how many ended how."""
        for ask in self._asks.values():
            self._judge(ask)
        ends = Counter(how for ask in self._asks.values() for how in ask.ends)
        self.errors = Counter({how: num for how, num in ends.items() if how not in (COMPLETE, LEFT)})
        return ends

    def _enter(self, ask: Ask) -> Ask:
        assert ask.id not in self._asks
        self._asks[ask.id] = ask
        return ask

    def _known(self, id: str) -> Ask | None:
        ask = self._asks.get(id)
        if ask is None:
            self.problems.append(f"an answer to nobody: id {id!r}")
        return ask

    def _judge(self, ask: Ask) -> None:
        if len(ask.ends) != 1:
            self._problem(ask, f"ended {len(ask.ends)} times: {ask.ends}")
        answer = ask.answer or ""
        if not answer.startswith(ask.text):
            self._problem(ask, f"heard {ask.text!r} instead of {answer!r}")
        for how in ask.ends:
            if how == COMPLETE:
                if ask.answer is None or ask.text != answer:
                    self._problem(ask, f"lost a part: {ask.text!r} is not all of {answer!r}")
            elif how != LEFT and not re.fullmatch(f"{self._excused}|{ask.allowed}", how, re.DOTALL):
                self._problem(ask, f"ended with {how!r}, which nothing explains")

    def _problem(self, ask: Ask, what: str) -> None:
        self.problems.append(f"{ask.id}: {what}")
