"""When the engine is looked at, and who hears of a change."""

from __future__ import annotations

import asyncio

import pytest
from dispatch_fakes import FakeProbe, until

from sagesched_gateway.dispatch import capacity_watch
from sagesched_gateway.dispatch.capacity import CapacityModel, EngineSettings
from sagesched_gateway.dispatch.capacity_watch import CapacityWatch
from sagesched_gateway.dispatch.gauge_sense import Ours
from sagesched_gateway.dispatch.ports import EngineGauges, EngineLimits
from sagesched_gateway.errors import UpstreamUnavailableError


class Watched:
    def __init__(self):
        self.probe = FakeProbe()
        self.model = CapacityModel(EngineSettings())
        self.busy = False
        self.full = False
        self.changes = 0
        self.watch = CapacityWatch(
            self.probe,
            self.model,
            is_busy=lambda: self.busy,
            is_full=lambda: self.full,
            ours=lambda: Ours(0, 0),
            changed=self._changed,
        )

    def _changed(self):
        self.changes += 1


@pytest.fixture
async def watched(monkeypatch):
    monkeypatch.setattr(capacity_watch, "PERIOD_S", 0.0)
    monkeypatch.setattr(capacity_watch, "TICK_S", 0.0)
    return Watched()


async def test_limits_and_gauges_are_read_together(watched):
    watched.probe.limits_now = EngineLimits(slots=8)
    watched.probe.gauges_now = EngineGauges(kv_blocks=700)
    await watched.watch.read_limits()
    assert (watched.model.current.slots, watched.model.current.kv_blocks) == (8, 700)
    assert watched.changes == 1


async def test_an_idle_engine_is_left_alone_and_a_busy_one_is_watched(watched):
    task = asyncio.create_task(watched.watch.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert watched.probe.num_looks == 0
    watched.busy = True
    watched.probe.gauges_now = EngineGauges(max_requests=7)
    await until(lambda: watched.changes)
    assert watched.model.current.slots == 7
    task.cancel()


async def test_metrics_that_cannot_be_read_change_nothing(watched, monkeypatch):
    async def fail():
        watched.probe.num_looks += 1
        raise UpstreamUnavailableError("gone")

    monkeypatch.setattr(watched.probe, "gauges", fail)
    watched.busy = watched.full = True
    task = asyncio.create_task(watched.watch.run())
    await until(lambda: watched.probe.num_looks >= 3)
    assert watched.changes == 0
    assert not task.done()
    task.cancel()


async def test_an_engine_with_room_is_left_in_peace(watched, monkeypatch):
    monkeypatch.setattr(capacity_watch, "RELAXED_PERIOD_S", 1e6)
    watched.probe.gauges_now = EngineGauges(max_requests=7)
    watched.busy = True
    task = asyncio.create_task(watched.watch.run())
    await until(lambda: watched.probe.num_looks)
    for _ in range(20):
        await asyncio.sleep(0)
    assert watched.probe.num_looks == 1
    watched.full = True
    await until(lambda: watched.probe.num_looks > 3)
    task.cancel()


async def test_a_request_alone_is_not_disturbed_and_looked_for_when_it_has_ended(watched, monkeypatch):
    monkeypatch.setattr(capacity_watch, "SETTLED_TICKS", 10**6)
    watched.probe.gauges_now = EngineGauges(max_requests=7)
    watched.busy = True
    task = asyncio.create_task(watched.watch.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert watched.probe.num_looks == 0
    watched.busy = False
    await until(lambda: watched.changes)
    for _ in range(20):
        await asyncio.sleep(0)
    assert watched.probe.num_looks == 1
    task.cancel()


async def test_time_counts_as_work_only_without_a_break_since_the_last_look(watched, monkeypatch):
    seen = []
    monkeypatch.setattr(
        watched.model, "saw_gauges", lambda gauges, now, *, busy, ours: (seen.append(busy), False)[1]
    )
    watched.probe.gauges_now = EngineGauges(iteration=1)
    watched.busy = watched.full = True
    task = asyncio.create_task(watched.watch.run())
    await until(lambda: len(seen) > 2)
    watched.busy = False
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    num_before = len(seen)
    watched.busy = True
    await until(lambda: len(seen) > num_before + 1)
    task.cancel()
    assert seen[:3] == [False, True, True]
    assert seen[num_before : num_before + 2] == [False, True]
