"""`Reconciler`: one look at a pool: observe, build, apply, status. The same whatever the occasion was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sagesched_gateway.settings.section import ConfigError
from sagesched_operator.api.pool import Pool, parse_pool
from sagesched_operator.api.reading import SpecError
from sagesched_operator.build.desired import Desired, build
from sagesched_operator.build.manifest import hash_of
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.cluster.cache import PoolKey
from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.cluster.kinds import CONTROLLER_REVISION, DEPLOYMENT, POD, POOL, SCALERS
from sagesched_operator.control.apply import Applier
from sagesched_operator.control.children import Children
from sagesched_operator.control.events import Events
from sagesched_operator.control.fights import Fights
from sagesched_operator.control.observed import observe
from sagesched_operator.control.outcome import Outcome
from sagesched_operator.control.pods import PodView, view
from sagesched_operator.control.reports import Reports
from sagesched_operator.control.status import compute_status
from sagesched_operator.control.store import KnownPool, PoolStore
from sagesched_operator.control.verdicts import stalled_conditions

_LOG = logging.getLogger(__name__)

_REFUSED_AGAIN_S = 300.0
"""What the API server refused is tried again after so long even if nothing seems to have changed."""
_NAMESPACE_ENDS = "because it is being terminated"


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How far one look came.

    Attributes:
        desired: what there should be; None where it cannot be told.
        outcome: what was written.
        stalled: (reason, message): nothing goes on before somebody acts.
        is_over: the pool is gone, or goes: there is no status to write.
    """

    desired: Desired | None = None
    outcome: Outcome = field(default_factory=Outcome)
    stalled: tuple[str, str] | None = None
    is_over: bool = False


class Reconciler:
    """Looks at pools."""

    def __init__(
        self,
        api: Api,
        pools: PoolStore,
        children: Children,
        applier: Applier,
        reports: Callable[[], Reports],
        installation: Installation,
    ) -> None:
        """Take the parts it works with.

        Args:
            api: for status and events.
            pools: all of them.
            children: as they are.
            applier: writes them.
            reports: the gateways' latest.
            installation: the operator's.
        """
        self._api = api
        self._pools = pools
        self._children = children
        self._applier = applier
        self._reports = reports
        self._installation = installation
        self._events = Events(api)
        self._fights = Fights()
        self._settled: dict[PoolKey, str] = {}

    async def reconcile(self, key: PoolKey) -> Outcome:
        """One look.

        Returns:
            What was written, and when to look again.

        Raises:
            ApiError: the API server is in the way for now; try again.
            Exception: the operator is at fault; the pool's status says so.
        """
        known = self._pools.get(key)
        if known is None:
            self._settled.pop(key, None)
            return Outcome()
        body = known.body
        if "deletionTimestamp" in body["metadata"]:
            return Outcome()
        try:
            return await self._look(known, body)
        except ApiError:
            raise
        except Exception as error:
            problem = f"the operator fails at this pool: {type(error).__name__}: {error}"
            with suppress(ApiError):
                await self._write_stalled(body, ("OperatorFailed", problem))
            raise

    async def _look(self, known: KnownPool, body: dict[str, Any]) -> Outcome:
        try:
            pool = parse_pool(body)
        except SpecError as error:  # it fits the API server's schema: another release's definition
            return await self._write_stalled(body, ("SpecRejected", str(error)))
        attempt = await self._attempt(known, pool)
        if attempt.is_over:
            return attempt.outcome
        await self._write_status(body, self._status(pool, attempt), attempt.outcome)
        self._settled[pool.namespace, pool.name] = known.uid
        return attempt.outcome

    async def _attempt(self, known: KnownPool, pool: Pool) -> _Attempt:
        """Make the children what they should be, as far as it goes."""
        key = (pool.namespace, pool.name)
        try:
            desired = self._build(pool)
        except ConfigError as error:
            return _Attempt(stalled=("SpecRejected", f"the gateway's settings would be refused: {error}"))
        except SpecError as error:
            return _Attempt(stalled=("SpecRejected", str(error)))
        if desired.forbidden:
            return _Attempt(desired, stalled=("NotAllowed", desired.forbidden))
        if await self._is_gone(known, key, pool, desired):
            return _Attempt(desired, is_over=True)
        outcome = await self._applier.apply(pool, desired, self._pods(key), self._reports())
        if outcome.refused is None:
            return _Attempt(desired, outcome)
        outcome.again(_REFUSED_AGAIN_S)
        if _NAMESPACE_ENDS in str(outcome.refused):
            return _Attempt(desired, outcome, is_over=True)  # the pool goes too
        reason = "NotAllowed" if outcome.refused.code == 403 else "SpecRejected"
        return _Attempt(desired, outcome, stalled=(reason, _shortened(str(outcome.refused))))

    def _status(self, pool: Pool, attempt: _Attempt) -> dict[str, Any]:
        """What the status should say now."""
        key = (pool.namespace, pool.name)
        troubles = list(attempt.outcome.troubles)
        troubles += [
            ("KindMissing", f"{kind} is not installed; {asked_by} asks for it")
            for kind, asked_by in (attempt.desired.missing if attempt.desired else ())
        ]
        deployment = self._children.cache(DEPLOYMENT.name).find(key, pool.name)
        observed = observe(
            pool,
            self._pods(key),
            self._reports(),
            asyncio.get_running_loop().time(),
            deployment=None if deployment is None else deployment.body,
            scaler=self._scaler(key),
            stalled=attempt.stalled,
            troubles=troubles,
        )
        return compute_status(pool, attempt.desired, observed, self._installation, now=_now())

    def _pods(self, key: PoolKey) -> list[PodView]:
        return [view(seen.body) for seen in self._children.cache(POD.name).of(key)]

    def _build(self, pool: Pool) -> Desired:
        key = (pool.namespace, pool.name)
        revisions = self._children.cache(CONTROLLER_REVISION.name).of(key)
        numbers = {seen.name.removeprefix(f"{pool.name}-"): int(seen.body["revision"]) for seen in revisions}
        return build(pool, self._installation, self._children.capabilities, revision_numbers=numbers)

    async def _is_gone(self, known: KnownPool, key: PoolKey, pool: Pool, desired: Desired) -> bool:
        """Whether the pool was deleted without our hearing of it.

        A watch that was interrupted for long may miss the end of a pool; the garbage collector then removes
        children that we would make again for ever.
        """
        if self._settled.get(key) != known.uid or not self._applier.is_missing_some(pool, desired):
            return False
        live = await self._api.find(POOL, *key)
        if live is None:
            self._pools.remove(key, known.uid)
            return True
        if live["metadata"]["uid"] == known.uid and "deletionTimestamp" not in live["metadata"]:
            return False
        self._pools.put(live)
        return True

    def _scaler(self, key: PoolKey) -> dict[str, Any] | None:
        found = (seen.body for kind in SCALERS for seen in self._children.cache(kind.name).of(key))
        return next(found, None)

    async def _write_status(self, body: dict[str, Any], wanted: dict[str, Any], outcome: Outcome) -> None:
        before = body.get("status") or {}
        if before == wanted:
            return
        metadata = body["metadata"]
        status, wanted_hash = (POOL.name, metadata["namespace"], metadata["name"]), hash_of(wanted)
        now = asyncio.get_running_loop().time()
        if self._fights.is_undone(status, wanted_hash):
            pause_s = self._fights.pause_s(status, now)
            if pause_s:
                outcome.again(pause_s)
                return
            self._fights.repaired(status, now)
        change = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "status": wanted,
        }
        try:
            written = await self._api.apply(POOL, change, force=True, subresource="status")
        except ApiError as error:
            if error.code in (404, 409):  # deleted, or made anew, meanwhile
                return
            raise
        outcome.num_writes += 1
        self._fights.wrote(status, wanted_hash, "", now)
        self._pools.put(written, is_ours=True)
        await self._events.tell(body, before.get("conditions", ()), wanted["conditions"])

    async def _write_stalled(self, body: dict[str, Any], stalled: tuple[str, str]) -> Outcome:
        """Nothing else can be told of the pool: all that is known of it stays as it was."""
        status = dict(body.get("status") or {})
        conditions = stalled_conditions(status, body["metadata"]["generation"], stalled, _now())
        status |= {"observedGeneration": body["metadata"]["generation"], "conditions": conditions}
        outcome = Outcome()
        await self._write_status(body, status, outcome)
        return outcome


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shortened(message: str) -> str:
    return message if len(message) <= 600 else message[:597] + "..."
