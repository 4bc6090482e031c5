"""What a scenario measured and proved, for the table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bed.load import Account


@dataclass(slots=True)
class Record:
    """One scenario's.

    Attributes:
        lines: what was measured or proved, in the order in which it was.
        accounts: of all its loads.
    """

    lines: list[str] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)

    def proved(self, line: str) -> None:
        """Note something, and show it at once."""
        self.lines.append(line)
        print(f"    {line}", flush=True)

    def answered(self, account: Account, which: str = "", more: str = "") -> None:
        """Note what became of a load, in words between those given."""
        self.accounts.append(account)
        self.proved(f"{which}{': ' if which else ''}{account.in_words()}{more}")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time a step."""
        began = time.monotonic()
        yield
        self.proved(f"{what}: {time.monotonic() - began:.1f} s")
