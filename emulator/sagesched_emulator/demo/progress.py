"""The progress bar: what is happening, how much of it is done, how long it will take."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Never, Protocol

from tqdm import tqdm

BAR = "{desc:<44}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} requests [{elapsed}<{remaining}]"
SECONDS_BETWEEN_LINES = 20.0
"""Where the output is no terminal, for example a CI log."""


class Progress(Protocol):
    """What a demo tells while it runs."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def stage(self, text: str) -> None:
        """What is happening now."""
        ...

    def advance_to(self, num_requests: int) -> None:
        """How many answers of all runs together have ended."""
        ...


class Bar:
    """`Progress` on the terminal, as a context manager."""

    def __init__(self, num_requests: int) -> None:
        """Expect `num_requests` answers in all runs together."""
        patience = 0.1 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES
        self._bar: tqdm[Never] = tqdm(
            total=num_requests, bar_format=BAR, mininterval=patience, dynamic_ncols=True, file=sys.stderr
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        tqdm.write(text, file=sys.stderr)

    def stage(self, text: str) -> None:
        """Show what is happening now."""
        self._bar.set_description_str(text)

    def advance_to(self, num_requests: int) -> None:
        """Show how many answers have ended; going back is allowed, when runs are repeated."""
        self._bar.update(num_requests - self._bar.n)


class Silence:
    """`Progress` that tells nobody, for scripts that print their own."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def stage(self, text: str) -> None:
        """Show nothing."""

    def advance_to(self, num_requests: int) -> None:
        """Show nothing."""
