"""`WorkQueue`: pools that want looking at, each by one worker at a time, at its own pace after failures."""

from __future__ import annotations

import asyncio
import heapq

from sagesched_operator.cluster.cache import PoolKey


class WorkQueue:
    """Keys with due times; a key that is asked for again while it is worked on comes back afterwards."""

    def __init__(self) -> None:
        self._due: dict[PoolKey, float] = {}
        self._heap: list[tuple[float, PoolKey]] = []
        self._working: set[PoolKey] = set()
        self._not_before: dict[PoolKey, float] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: PoolKey, after_s: float = 0.0) -> None:
        """Look at a pool, `after_s` seconds from now or earlier."""
        due = max(asyncio.get_running_loop().time() + after_s, self._not_before.get(key, 0.0))
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        self._changed.set()

    def hold(self, key: PoolKey, for_s: float) -> None:
        """Look at a pool in `for_s` seconds, and not earlier whatever happens to it: what failed is paced."""
        self._not_before[key] = asyncio.get_running_loop().time() + for_s
        self._due.pop(key, None)
        self.add(key)

    def free(self, key: PoolKey) -> None:
        """End what `hold` began."""
        self._not_before.pop(key, None)

    async def take(self) -> PoolKey:
        """The next pool that is due; `done` must follow."""
        loop = asyncio.get_running_loop()
        while True:
            key, wait_s = self._next(loop.time())
            if key is not None:
                self._working.add(key)
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def done(self, key: PoolKey) -> None:
        """A worker has finished with the pool."""
        self._working.discard(key)
        self._changed.set()

    def _next(self, now: float) -> tuple[PoolKey | None, float | None]:
        """A key that may be worked on, or how long until one may (None: not known)."""
        held = []
        found: PoolKey | None = None
        while self._heap and found is None and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) != due:
                continue  # asked for at another time since
            if key in self._working:
                held.append((due, key))
                continue
            del self._due[key]
            found = key
        # What is held waits for `done`; until then others may become due.
        later = self._heap[0][0] if self._heap else None
        for entry in held:
            heapq.heappush(self._heap, entry)
        if found is not None:
            return found, 0.0
        return None, None if later is None else max(later - now, 0.0)
