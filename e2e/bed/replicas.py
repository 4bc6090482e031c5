"""`ReplicaLog`: how many pods a scaler asked for, over time."""

from __future__ import annotations

import threading
import time
from typing import Self

from bed.pool import KIND, Pool

_EACH_S = 1.5


class ReplicaLog:
    """Looks at a pool's `spec.replicas` for as long as a `with` lasts.

    Attributes:
        changes: (seconds since the start, replicas) of the first look and of every change.
    """

    def __init__(self, pool: Pool) -> None:
        """Prepare; `__enter__` starts to look."""
        self.changes: list[tuple[float, int]] = []
        self._pool = pool
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="replica-log")

    def in_words(self) -> str:
        """For the table of scenarios."""
        return " → ".join(f"{replicas} ({at_s:.0f} s)" for at_s, replicas in self.changes)

    def __enter__(self) -> Self:
        """Start to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        began = time.monotonic()
        while not self._is_over.wait(_EACH_S):
            replicas = int(self._pool.get(KIND, self._pool.name)["spec"]["replicas"])
            if not self.changes or self.changes[-1][1] != replicas:
                self.changes.append((time.monotonic() - began, replicas))
