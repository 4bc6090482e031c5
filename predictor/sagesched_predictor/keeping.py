"""What a worker keeps over a restart: its history in a private file, for as long as it may.

A snapshot that cannot be used is never fatal. It is set aside under another name, for somebody to look at,
and the worker starts without it: a damaged file must not cost a pool its order, and embeddings of another
encoder must not be mixed with new ones. Records, and whole files, go when they are older than the retention.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sagesched_predictor.errors import SnapshotError
from sagesched_predictor.history import History
from sagesched_predictor.snapshot import load_history, remove_unfinished, save_history

SAVE_EVERY_S = 300.0
_DAY_S = 86_400.0
_ASIDE = ".set-aside"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where and for how long.

    Attributes:
        file: the snapshot; None keeps nothing on disk.
        retention_days: records older than this are forgotten, in memory and on disk; 0 for never.
    """

    file: Path | None = None
    retention_days: float = 30.0


class Keeper:
    """Saves and restores one history."""

    def __init__(
        self,
        history: History,
        keeping: Keeping,
        fingerprint: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep `history`, whose embeddings are of the encoder with this fingerprint."""
        self._history = history
        self._keeping = keeping
        self._fingerprint = fingerprint
        self._clock = clock
        self._saved_at = clock()
        self._num_saved = history.num_appended

    def restore(self) -> list[str]:
        """Read the snapshot, if there is one; returns what went wrong, each in one sentence."""
        file = self._keeping.file
        problems = []
        if file is not None:
            remove_unfinished(file)
        if file is not None and not os.access(file.parent, os.W_OK | os.X_OK):
            problems.append(
                f"{file.parent} is no folder to write to: what is learned will be lost at the end"
            )
        # Unlike a path's own method this does not raise where nobody may look or no name can be so long.
        if file is not None and os.path.exists(file):
            try:
                load_history(self._history, file, self._fingerprint)
            except SnapshotError as error:
                problems.append(f"{error}; {self._set_aside(file)}, starting without it")
        self._num_saved = self._history.num_appended
        self.forget()
        return problems

    def forget(self) -> None:
        """Drop what is older than the retention, also a file that was set aside."""
        if self._keeping.retention_days <= 0:
            return
        oldest = self._clock() - _DAY_S * self._keeping.retention_days
        if self._history.forget_before(oldest):
            self._num_saved = -1  # what is on disk holds them still
        if self._keeping.file is not None:
            aside = _aside(self._keeping.file)
            try:
                if aside.stat().st_mtime < oldest:
                    aside.unlink()
            except OSError:
                pass  # there is none, as usual

    def save_if_due(self) -> str | None:
        """Save at most every `SAVE_EVERY_S`; returns what went wrong, if anything did."""
        if self._clock() - self._saved_at < SAVE_EVERY_S:
            return None
        return self.save()

    def save(self) -> str | None:
        """Forget what is too old, and write the rest if there is news; returns what went wrong."""
        self._saved_at = self._clock()
        self.forget()
        if self._keeping.file is None or self._num_saved == self._history.num_appended:
            return None
        try:
            save_history(self._history, self._keeping.file, self._fingerprint)
        except SnapshotError as error:
            return str(error)
        self._num_saved = self._history.num_appended
        return None

    @staticmethod
    def _set_aside(file: Path) -> str:
        try:
            file.replace(_aside(file))
        except OSError as error:
            return f"it cannot be set aside ({error})"
        return f"set aside as {_aside(file).name}"


def _aside(file: Path) -> Path:
    return file.with_name(file.name + _ASIDE)
