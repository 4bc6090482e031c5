"""`Informer`: keeps a cache equal to the API server by one list and one watch, with few requests.

Neither a closed watch nor an API server that was away costs a new list: the watch goes on from the last
version heard of; only where the server no longer knows that version (410) all is listed again.
"""

from __future__ import annotations

import asyncio
import logging
import random

from sagesched_operator.cluster.cache import Cache
from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.cluster.kinds import Kind

_LOG = logging.getLogger(__name__)

_LASTING_S = (300, 600)
"""The server is asked to end a watch after so long, at random, so that not all come back at once."""

_BACKOFF_S = (0.5, 30.0)
_SHORT_S = 1.0
"""Some proxies, and servers about to end, close every watch at once: to ask again at once would never end."""


class Informer:
    """Follows one kind in one namespace, or in all.

    Attributes:
        is_synced: set when the cache has been filled once.
    """

    def __init__(self, api: Api, kind: Kind, namespace: str | None, selector: str, cache: Cache) -> None:
        """Prepare; `run` does the work."""
        self.is_synced = asyncio.Event()
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._selector = selector
        self._cache = cache
        self._version = ""

    async def run(self) -> None:
        """Follow until cancelled."""
        failures, loop = 0, asyncio.get_running_loop()
        while True:
            try:
                if not self._version:
                    await self._list()
                began_at, version = loop.time(), self._version
                await self._watch()
                if loop.time() - began_at < _SHORT_S and self._version == version:
                    raise ApiError(0, "Unreachable", "a watch ended as soon as it had begun")
                failures = 0
            except ApiError as error:
                if error.code == 410:
                    self._version = ""
                    continue
                failures += 1
                if failures == 3:
                    _LOG.warning("cannot follow %s: %s", self._kind.plural, error)
                await asyncio.sleep(error.retry_after_s or backoff(failures))

    async def _list(self) -> None:
        listed, version = set[str](), ""
        async for page in self._api.pages(self._kind, self._namespace, self._selector):
            version = page["metadata"]["resourceVersion"]
            for body in page["items"]:
                listed.add(body["metadata"]["uid"])
                self._cache.put(body)
        self._cache.keep_only(listed, self._namespace)
        self._version = version
        self.is_synced.set()

    async def _watch(self) -> None:
        events = self._api.watch(
            self._kind,
            self._namespace,
            self._selector,
            self._version,
            lasting_s=random.randint(*_LASTING_S),
        )
        async for event, body in events:
            self._version = body["metadata"]["resourceVersion"]
            if event in ("ADDED", "MODIFIED"):
                self._cache.put(body)
            elif event == "DELETED":
                self._cache.remove(body)


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row, half of them by chance."""
    first, most = _BACKOFF_S
    return min(most, first * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)
