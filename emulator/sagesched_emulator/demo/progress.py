"""What a demo tells while it runs: a bar on a terminal, lines where the output goes into a file."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Never, Protocol, Self

from tqdm import tqdm

BAR = "{desc:<44}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} requests [{elapsed}<{remaining}]"
SECONDS_BETWEEN_LINES = 15.0


class Progress(Protocol):
    """Where a demo tells what it does, as a context manager."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def stage(self, text: str) -> None:
        """What is happening now; may be repeated."""
        ...

    def advance_to(self, num_requests: int) -> None:
        """How many answers of all runs together have ended; may go back, when runs are repeated."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_for(num_requests: int) -> Progress:
    """A bar where somebody can see it, else lines; so many answers are expected in all runs together."""
    return Bar(num_requests) if sys.stderr.isatty() else Lines(num_requests)


class Silence:
    """Tells nobody."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def stage(self, text: str) -> None:
        """Show nothing."""

    def advance_to(self, num_requests: int) -> None:
        """Show nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""


class Bar(Silence):
    """A bar on the terminal."""

    def __init__(self, num_requests: int) -> None:
        """Expect so many answers in all runs together."""
        self._bar: tqdm[Never] = tqdm(
            total=num_requests, bar_format=BAR, dynamic_ncols=True, file=sys.stderr, smoothing=0.05
        )

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def stage(self, text: str) -> None:
        """Show it before the bar."""
        self._bar.set_description_str(text)

    def advance_to(self, num_requests: int) -> None:
        """Fill the bar."""
        self._bar.update(num_requests - self._bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


class Lines(Silence):
    """A line for each stage, and one now and then in between."""

    def __init__(self, num_requests: int) -> None:
        """Expect so many answers in all runs together."""
        self._total = num_requests
        self._stage = ""
        self._next_line_at = 0.0

    def say(self, text: str) -> None:
        """Print it."""
        print(text, file=sys.stderr, flush=True)

    def stage(self, text: str) -> None:
        """Print it when it is new."""
        if text != self._stage:
            self._stage = text
            self._next_line_at = time.monotonic() + SECONDS_BETWEEN_LINES
            self.say(text)

    def advance_to(self, num_requests: int) -> None:
        """Print it when nothing was printed for some time."""
        if time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + SECONDS_BETWEEN_LINES
            self.say(f"{self._stage}: {num_requests} of {self._total} answers in all runs")
