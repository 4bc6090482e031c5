"""The switchboard: everything kopf calls, and all it is used for: hearing of pools.

kopf keeps nothing on the pools: there are no create, update or delete handlers, hence no finalizers, no
progress and no last-handled state. What a pool needs is told by comparing, not by what changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import kopf

from sagesched_operator.api.pool import GROUP, PLURAL, VERSION
from sagesched_operator.control.store import PoolStore


def registry_of(
    pools: PoolStore,
    kubeconfig: Path | None,
    begin: Callable[[], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
) -> kopf.OperatorRegistry:
    """The handlers.

    Args:
        pools: told of every pool.
        kubeconfig: how to log in; None as the pod that we run in.
        begin: what is waited for before pools are followed.
        end: what is done once no pool is followed any more.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    async def begins(**_: Any) -> None:
        try:
            await begin()
        except asyncio.CancelledError:
            await end()  # kopf does not clean up what has not begun
            raise

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if kubeconfig is None:
            return kopf.login_with_service_account(**kwargs)
        return kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def pool_changed(event: Any, **_: Any) -> None:
        body = event["object"]
        if event["type"] == "DELETED":
            metadata = body["metadata"]
            pools.remove((metadata["namespace"], metadata["name"]), metadata["uid"])
        else:
            pools.put(body)

    @kopf.on.cleanup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def ends(**_: Any) -> None:
        await end()

    return registry


def settings_of() -> kopf.OperatorSettings:
    """Kopf's settings, each with its reason."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # it need not see the cluster's namespaces and kinds
    settings.posting.enabled = False  # events are ours
    settings.peering.standalone = True  # leadership is by a Lease
    settings.watching.server_timeout = 600
    settings.watching.reconnect_backoff = 1.0
    settings.networking.error_backoffs = (1, 2, 3, 5, 8, 13, 21)
    return settings


async def watch_pools(
    pools: PoolStore,
    kubeconfig: Path | None,
    namespaces: Sequence[str],
    *,
    identity: str,
    stop: asyncio.Event,
    ready: asyncio.Event,
    begin: Callable[[], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
) -> None:
    """Follow the pools by kopf until told to stop.

    Args:
        pools: told of every pool.
        kubeconfig: see `registry_of`.
        namespaces: to look into; none for the whole cluster.
        identity: of this replica. Kopf would make one of the user's name, and a container's has none.
        stop: ends it.
        ready: set once it follows.
        begin: waits until there is something to follow: kopf looks for the kind once, and never again.
        end: ends all that works besides. It is called before kopf waits, up to five seconds, for whatever
            has been started in the event loop since, which it takes for its own.
    """

    async def end_all() -> None:
        stop.set()  # a task of kopf's waits for it, and after SIGTERM nobody else would set it
        await end()

    await kopf.operator(
        registry=registry_of(pools, kubeconfig, begin, end_all),
        settings=settings_of(),
        identity=identity,  # type: ignore[arg-type]  # a name for `str` that kopf does not export
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        stop_flag=stop,
        ready_flag=ready,
    )
