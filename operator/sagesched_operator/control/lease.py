"""`Elector`: one replica of several acts, by a Lease.

A leader that cannot renew stops acting before another may begin: it gives up after `RENEW_S` without success,
others wait `LEASE_S`. Clocks of two machines are never compared: how long a lease has not changed is measured
by the clock of the one who watches it.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.cluster.kinds import LEASE

_LOG = logging.getLogger(__name__)

LEASE_S = 15
RENEW_S = 10.0
TRY_S = 4.0
_RELEASE_S = 5.0
"""Less than a pod has to end; a lease that is not given back runs out."""


class Elector:
    """Takes the lease, keeps it, gives it back.

    Attributes:
        leads: set while this replica is the leader.
        follows: set while it is not.
    """

    def __init__(self, api: Api, namespace: str, name: str, identity: str) -> None:
        """Prepare; `run` does the work.

        Args:
            api: to ask.
            namespace: of the Lease.
            name: of the Lease.
            identity: of this replica, unique.
        """
        self.leads, self.follows = asyncio.Event(), asyncio.Event()
        self.follows.set()
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seen: tuple[str, float] = ("", 0.0)
        self._held: dict[str, Any] | None = None
        self._is_anothers = False
        self._renewed_at = 0.0

    async def run(self) -> None:
        """Wait for the lease, keep it, and wait again when it is lost, until cancelled."""
        while True:
            while not await self._try():  # noqa: ASYNC110  # what is waited for is elsewhere
                await asyncio.sleep(TRY_S)
            _LOG.info("leading")
            self._turn(leads=True)
            await self._keep()
            _LOG.warning("the lease is lost; waiting for it again")
            self._turn(leads=False)

    async def _keep(self) -> None:
        """Renew the lease until it is lost."""
        loop = asyncio.get_running_loop()
        while loop.time() - self._renewed_at < RENEW_S and not self._is_anothers:
            await asyncio.sleep(TRY_S)
            try:
                async with asyncio.timeout_at(self._renewed_at + RENEW_S):
                    await self._try()
            except TimeoutError:
                return

    def _turn(self, *, leads: bool) -> None:
        begins, ends = (self.leads, self.follows) if leads else (self.follows, self.leads)
        ends.clear()
        begins.set()

    async def release(self) -> None:
        """Let another replica lead at once."""
        if not self.leads.is_set():
            return
        self._turn(leads=False)
        try:
            async with asyncio.timeout(_RELEASE_S):
                lease = await self._api.read(LEASE, self._namespace, self._name)
                if lease["spec"].get("holderIdentity") == self._identity:
                    lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._api.replace(LEASE, self._namespace, self._name, lease)
        except (ApiError, TimeoutError) as error:
            _LOG.info("lease not given back: %s", str(error) or "no answer")

    async def _try(self) -> bool:
        """Take or renew the lease; whether it is ours now, and will be for a while."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        if not await self._take():
            return False
        # Others count from when the server took it: an answer may be late.
        self._renewed_at = asked_at
        return loop.time() - asked_at < RENEW_S

    async def _take(self) -> bool:
        try:
            # A leader knows the lease as it wrote it, and need not read it to renew.
            lease = self._held or await self._api.read(LEASE, self._namespace, self._name)
        except ApiError as error:
            return error.code == 404 and await self._create()
        self._held = None
        holder = lease["spec"].get("holderIdentity", "")
        self._is_anothers = holder not in ("", self._identity)
        if self._is_anothers and not self._has_expired(lease):
            return False
        spec = lease["spec"]
        if holder != self._identity:
            spec |= {"acquireTime": _now(), "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": LEASE_S, "renewTime": _now()}
        try:
            self._held = await self._api.replace(LEASE, self._namespace, self._name, lease)
        except ApiError:
            return False  # somebody else was quicker, or the server is away
        self._is_anothers = False
        return True

    async def _create(self) -> bool:
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_S,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": 0,
        }
        body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": spec,
        }
        try:
            await self._api.create(LEASE, self._namespace, body)
        except ApiError:
            return False
        return True

    def _has_expired(self, lease: dict[str, Any]) -> bool:
        now = asyncio.get_running_loop().time()
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, now)
        return now - self._seen[1] > float(lease["spec"].get("leaseDurationSeconds", LEASE_S))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
