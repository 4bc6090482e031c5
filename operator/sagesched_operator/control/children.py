"""`Children`: everything that belongs to pools, held in memory by one watch per kind, chosen by label."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sagesched_operator.build.surroundings import Capabilities
from sagesched_operator.cluster.cache import Cache, PoolKey, Seen
from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.discovery import served
from sagesched_operator.cluster.informer import Informer
from sagesched_operator.cluster.kinds import (
    CHILDREN,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    OPTIONAL_CHILDREN,
    POD,
    SCALERS,
    Kind,
)
from sagesched_operator.control import pods
from sagesched_operator.names import APPLIED_HASH, POOL_LABEL

_LOG = logging.getLogger(__name__)

_LOOK_AGAIN_S = 300.0
"""How often it is looked whether a kind that was not there has been installed."""

_READ_WHOLE = frozenset({DEPLOYMENT, CONTROLLER_REVISION, *SCALERS})
"""More is read of them than whether they are as wanted."""


def trim(body: dict[str, Any]) -> Mapping[str, Any]:
    """What is kept in memory of an object that is only compared: where our hash is not on it, that is all."""
    metadata = body["metadata"]
    if APPLIED_HASH in metadata.get("annotations", {}):
        return body
    wanted = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "ownerReferences")
    kept = {name: metadata[name] for name in wanted if name in metadata}
    return {"metadata": kept | {"labels": {POOL_LABEL: metadata.get("labels", {}).get(POOL_LABEL, "")}}}


class Children:
    """Caches of all kinds.

    Attributes:
        capabilities: which of the kinds that a cluster may lack are there.
    """

    def __init__(
        self,
        api: Api,
        namespaces: Sequence[str],
        on_change: Callable[[PoolKey], None],
        on_new_kind: Callable[[], None],
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            api: to ask.
            namespaces: to look into; none for the whole cluster.
            on_change: hears which pool's children changed.
            on_new_kind: hears that a kind has been installed.
        """
        self.capabilities = Capabilities(frozenset())
        self._api = api
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._on_new_kind = on_new_kind
        self._caches = {
            kind.name: Cache(lambda key, _: on_change(key), *(() if kind in _READ_WHOLE else (trim,)))
            for kind in (*CHILDREN, *OPTIONAL_CHILDREN)
        }
        self._caches[POD.name] = Cache(lambda key, _: on_change(key), pods.trim)
        self._informers: list[Informer] = []
        self._followed: set[str] = set()
        self._is_discovered = asyncio.Event()

    def cache(self, kind: str) -> Cache:
        """Of one kind, by its name."""
        return self._caches[kind]

    def of(self, pool: PoolKey) -> Iterator[tuple[Kind, Seen]]:
        """All children of a pool, its pods aside."""
        for kind in (*CHILDREN, *OPTIONAL_CHILDREN):
            for seen in self._caches[kind.name].of(pool):
                yield kind, seen

    def lost(self, kind: Kind) -> None:
        """A kind is not installed any more; it is looked for again as those that never were."""
        if self.capabilities.has(kind.id):
            _LOG.warning("%s is not installed any more", kind.id)
            self.capabilities = replace(self.capabilities, kinds=self.capabilities.kinds - {kind.id})

    async def run(self) -> None:
        """Follow all kinds until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for kind in (*CHILDREN, POD):
                self._follow(kind, tasks)
            await self._find_kinds(tasks)
            while True:
                await asyncio.sleep(_LOOK_AGAIN_S)
                if await self._find_kinds(tasks):
                    self._on_new_kind()

    async def synced(self) -> None:
        """Wait until all caches have been filled once."""
        await self._is_discovered.wait()
        for informer in list(self._informers):
            await informer.is_synced.wait()

    @property
    def is_synced(self) -> bool:
        """Whether all caches have been filled once."""
        return self._is_discovered.is_set() and all(one.is_synced.is_set() for one in self._informers)

    def _follow(self, kind: Kind, tasks: asyncio.TaskGroup) -> None:
        if kind.id in self._followed:  # it was lost and came back; its informers have waited
            return
        self._followed.add(kind.id)
        for namespace in self._namespaces:
            informer = Informer(self._api, kind, namespace, POOL_LABEL, self._caches[kind.name])
            self._informers.append(informer)
            tasks.create_task(informer.run())

    async def _find_kinds(self, tasks: asyncio.TaskGroup) -> bool:
        """Look for kinds that were not there yet; whether any has come."""
        missing = [kind for kind in OPTIONAL_CHILDREN if not self.capabilities.has(kind.id)]
        groups = {kind.api_version for kind in missing}
        there = {group: await served(self._api, group) for group in sorted(groups)}
        found = [kind for kind in missing if kind.plural in there[kind.api_version]]
        self.capabilities = replace(
            self.capabilities, kinds=self.capabilities.kinds | {kind.id for kind in found}
        )
        for kind in found:
            _LOG.info("%s is installed", kind.id)
            self._follow(kind, tasks)
        self._is_discovered.set()
        return bool(found)
