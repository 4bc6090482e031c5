"""`PoolStore`: the pools as kopf tells them. kopf watches, and that is all: it writes nothing to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sagesched_operator.cluster.cache import PoolKey


@dataclass(frozen=True, slots=True)
class KnownPool:
    """A pool as last heard of.

    Attributes:
        uid: its own.
        version: resource version.
        generation: of its spec.
        text: the resource as JSON.
    """

    uid: str
    version: int
    generation: int
    text: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The resource."""
        result: dict[str, Any] = json.loads(self.text)
        return result


class PoolStore:
    """All pools, by namespace and name."""

    def __init__(self, on_change: Callable[[PoolKey], None]) -> None:
        """An empty one; `on_change` hears of each news but our own writing of a status."""
        self._pools: dict[PoolKey, KnownPool] = {}
        self._on_change = on_change

    def __len__(self) -> int:
        return len(self._pools)

    def __iter__(self) -> Iterator[PoolKey]:
        """Keys of all pools."""
        return iter(list(self._pools))

    def get(self, key: PoolKey) -> KnownPool | None:
        """One pool."""
        return self._pools.get(key)

    def put(self, body: Mapping[str, Any], *, is_ours: bool = False) -> None:
        """A pool as it is now; older news are dropped.

        Args:
            body: the resource.
            is_ours: it answered our writing of its status. Where somebody changed the spec just before, that
                answer is the first we hear of it, and the event that tells of it comes later, as older news.
        """
        metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
        key, version = (metadata["namespace"], metadata["name"]), int(metadata["resourceVersion"])
        before = self._pools.get(key)
        if before is not None and before.uid == metadata["uid"] and version <= before.version:
            return
        text = json.dumps({**body, "metadata": metadata}, separators=(",", ":")).encode()
        generation = metadata.get("generation", 0)
        self._pools[key] = KnownPool(metadata["uid"], version, generation, text)
        if not is_ours or before is None or before.generation != generation:
            self._on_change(key)

    def remove(self, key: PoolKey, uid: str) -> None:
        """A pool is gone."""
        before = self._pools.get(key)
        if before is not None and before.uid == uid:
            del self._pools[key]
            self._on_change(key)
