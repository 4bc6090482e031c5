"""Workers take pools from the queue and look at them, while this replica leads."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict

from sagesched_operator.cluster.cache import PoolKey
from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.control.metrics import OperatorMetrics
from sagesched_operator.control.queue import WorkQueue
from sagesched_operator.control.reconcile import Reconciler

_LOG = logging.getLogger(__name__)

NUM_WORKERS = 16
_BACKOFF_S = (0.5, 60.0)


class Workers:
    """See the module."""

    def __init__(self, queue: WorkQueue, reconciler: Reconciler, metrics: OperatorMetrics) -> None:
        """Take the parts they work with."""
        self._queue = queue
        self._reconciler = reconciler
        self._metrics = metrics
        self._failures: dict[PoolKey, int] = defaultdict(int)

    async def run(self) -> None:
        """Work until cancelled."""
        # Asked for at each scrape: workers that hang tell nothing of what waits for them.
        self._metrics.queue.set_function(lambda: len(self._queue))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(NUM_WORKERS):
                    tasks.create_task(self._work())
        finally:
            self._metrics.queue.set_function(lambda: 0)  # who does not lead has nothing to look at

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._look(key)
            finally:
                self._queue.done(key)

    async def _look(self, key: PoolKey) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            outcome = await self._reconciler.reconcile(key)
        except ApiError as error:
            self._failures[key] += 1
            wait_s = error.retry_after_s or _wait_s(self._failures[key])
            _LOG.info("%s/%s: again in %.1f s: %s", *key, wait_s, error)
            self._queue.hold(key, wait_s)
            result = "retry"
        except Exception:
            self._failures[key] += 1
            _LOG.exception("%s/%s: cannot be looked at", *key)
            self._queue.hold(key, _wait_s(self._failures[key] + 3))
            result = "error"
        else:
            self._queue.free(key)
            if outcome.is_unfinished:
                self._failures[key] += 1
                self._queue.add(key, _wait_s(self._failures[key]))
                result = "retry"
            else:
                self._failures.pop(key, None)
                result = "changed" if outcome.num_writes else "unchanged"
            if outcome.look_again_s is not None:
                self._queue.add(key, outcome.look_again_s)
        self._metrics.reconciled(result, loop.time() - began_at)


def _wait_s(failures: int) -> float:
    first, most = _BACKOFF_S
    return min(most, first * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)
