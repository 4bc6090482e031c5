"""`Cache`: one kind's objects in memory, as last heard of.

Objects are held as JSON text and read when somebody looks: a thousand Deployments as mappings would take ten
times the memory.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sagesched_operator.names import FIELD_MANAGER, POOL_LABEL

_EXPECTED_MANAGERS = (FIELD_MANAGER, "kube-controller-manager")

PoolKey = tuple[str, str]
"""(namespace, name)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as last heard of.

    Attributes:
        namespace, name, uid: of its metadata.
        version: resource version, a number.
        pool: the pool that its label names.
        text: the object as JSON, without `managedFields`.
        manager: field manager of the latest change of somebody else; empty where nobody changed it.
    """

    namespace: str
    name: str
    uid: str
    version: int
    pool: str
    text: bytes
    manager: str

    @property
    def body(self) -> dict[str, Any]:
        """The object."""
        result: dict[str, Any] = json.loads(self.text)
        return result


class Cache:
    """Objects of one kind, by pool."""

    def __init__(
        self,
        on_change: Callable[[PoolKey, str], None],
        trim: Callable[[dict[str, Any]], Mapping[str, Any]] = lambda body: body,
    ) -> None:
        """An empty one.

        Args:
            on_change: hears which pool's objects changed, and how in a word, when it was not us.
            trim: what is kept of an object.
        """
        self._by_pool: dict[PoolKey, dict[str, Seen]] = defaultdict(dict)
        self._pool_of: dict[tuple[str, str], PoolKey] = {}  # (namespace, name) of an object
        self._on_change = on_change
        self._trim = trim

    def of(self, pool: PoolKey) -> list[Seen]:
        """All objects of a pool."""
        return list(self._by_pool.get(pool, {}).values())

    def find(self, pool: PoolKey, name: str) -> Seen | None:
        """One object of a pool."""
        return self._by_pool.get(pool, {}).get(name)

    def __len__(self) -> int:
        return sum(map(len, self._by_pool.values()))

    def pools(self) -> Iterator[PoolKey]:
        """Pools that have any."""
        return iter(list(self._by_pool))

    def put(self, body: dict[str, Any], *, is_ours: bool = False) -> None:
        """An object as it is now; older news than what is known are dropped."""
        seen = self._seen(body)
        key, name = (seen.namespace, seen.pool), (seen.namespace, seen.name)
        pool = self._pool_of.get(name, key)
        before = self.find(pool, seen.name)
        if before is not None and before.uid == seen.uid and seen.version <= before.version:
            return
        if before is not None and pool != key:  # somebody gave it another pool's label
            self.remove(before.body)
            before = None
        self._by_pool[key][seen.name] = seen
        self._pool_of[name] = key
        if not is_ours:
            self._on_change(key, "added" if before is None else "changed")

    def remove(self, body: Mapping[str, Any], *, is_ours: bool = False) -> None:
        """An object is gone."""
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata.get("labels", {}).get(POOL_LABEL, ""))
        before = self._by_pool.get(key, {}).get(metadata["name"])
        if before is None or before.uid != metadata["uid"]:
            return
        del self._by_pool[key][metadata["name"]]
        self._pool_of.pop((metadata["namespace"], metadata["name"]), None)
        if not self._by_pool[key]:
            del self._by_pool[key]
        if not is_ours:
            self._on_change(key, "removed")

    def keep_only(self, listed: Container[str], namespace: str | None) -> None:
        """The whole collection (of a namespace) has been put: by its uids, what is not in it is gone."""
        gone = [
            seen
            for objects in list(self._by_pool.values())
            for seen in objects.values()
            if seen.uid not in listed and namespace in (None, seen.namespace)
        ]
        for seen in gone:
            self.remove(seen.body)

    def _seen(self, body: dict[str, Any]) -> Seen:
        metadata = body["metadata"]
        manager = _latest_manager(metadata.pop("managedFields", ()))
        return Seen(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            version=int(metadata["resourceVersion"]),
            pool=metadata.get("labels", {}).get(POOL_LABEL, ""),
            text=json.dumps(self._trim(body), separators=(",", ":")).encode(),
            manager=manager,
        )


def _latest_manager(managed: Iterable[Mapping[str, Any]]) -> str:
    """Who changed the object last, ourselves and the cluster's own controllers aside."""
    changes = [
        entry
        for entry in managed
        if entry.get("subresource") != "status" and entry.get("manager") not in _EXPECTED_MANAGERS
    ]
    latest = max(changes, key=lambda entry: str(entry.get("time", "")), default={})
    return str(latest.get("manager", ""))
