"""Leadership: one at a time, given back, taken over by the watcher's own clock."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.control import lease
from sagesched_operator.control.lease import Elector


class Leases:
    """A server that holds one Lease, with the API's rule of versions."""

    def __init__(self):
        self.held = None
        self.is_away = False
        self.late_s = 0.0

    def _answer(self):
        if self.is_away:
            raise ApiError(0, "Unreachable", "away")

    async def read(self, kind, namespace, name):
        self._answer()
        if self.held is None:
            raise ApiError(404, "NotFound", "none")
        return {"metadata": dict(self.held["metadata"]), "spec": dict(self.held["spec"])}

    async def create(self, kind, namespace, body):
        self._answer()
        if self.held is not None:
            raise ApiError(409, "AlreadyExists", "there")
        return await self._store(body, 1)

    async def replace(self, kind, namespace, name, body):
        self._answer()
        version = int(self.held["metadata"]["resourceVersion"])
        if int(body["metadata"]["resourceVersion"]) != version:
            raise ApiError(409, "Conflict", "changed")
        return await self._store(body, version + 1)

    async def _store(self, body, version):
        self.held = {"metadata": {"resourceVersion": str(version)}, "spec": dict(body["spec"])}
        await asyncio.sleep(self.late_s)
        return {"metadata": dict(self.held["metadata"]), "spec": dict(self.held["spec"])}


@pytest.fixture
def leases(monkeypatch):
    for name, value in (("LEASE_S", 0.3), ("RENEW_S", 0.2), ("TRY_S", 0.02)):
        monkeypatch.setattr(lease, name, value)
    return Leases()


@pytest.fixture
async def elect(leases):
    tasks = []

    def elect(identity):
        elector = Elector(leases, "ns", "lease", identity)
        tasks.append(asyncio.create_task(elector.run()))
        return elector, tasks[-1]

    yield elect
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def soon(event):
    async with asyncio.timeout(3):
        await event.wait()


async def test_one_leads_and_another_takes_over_when_it_is_silent(elect):
    first, task = elect("a")
    await soon(first.leads)
    second, _ = elect("b")
    await asyncio.sleep(0.5)
    assert not second.leads.is_set()
    task.cancel()  # dies without a word
    began_at = asyncio.get_running_loop().time()
    await soon(second.leads)
    assert asyncio.get_running_loop().time() - began_at > 0.2


async def test_a_leader_that_ends_gives_it_back(elect, leases):
    first, task = elect("a")
    await soon(first.leads)
    task.cancel()
    await first.release()
    assert leases.held["spec"]["holderIdentity"] == ""
    second, _ = elect("b")
    began_at = asyncio.get_running_loop().time()
    await soon(second.leads)
    assert asyncio.get_running_loop().time() - began_at < 0.2


async def test_a_leader_that_cannot_renew_stops_before_another_may_begin(elect, leases):
    first, _ = elect("a")
    await soon(first.leads)
    leases.is_away = True
    began_at = asyncio.get_running_loop().time()
    await soon(first.follows)
    assert asyncio.get_running_loop().time() - began_at < lease.LEASE_S
    leases.is_away = False
    await soon(first.leads)


async def test_who_hears_late_that_the_lease_is_its_own_does_not_lead(elect, leases):
    """Another counts from when the server gave it, and may have it by now."""
    leases.late_s = 0.25
    first, _ = elect("a")
    heard = asyncio.create_task(first.leads.wait())
    await asyncio.sleep(0.6)
    assert not heard.done()
    leases.late_s = 0.0
    await soon(first.leads)
    heard.cancel()


async def test_a_leader_whose_lease_was_taken_stops(elect, leases):
    first, _ = elect("a")
    await soon(first.leads)
    leases.held["spec"] |= {"holderIdentity": "b", "leaseDurationSeconds": 100}
    leases.held["metadata"]["resourceVersion"] = "1000"
    await soon(first.follows)
