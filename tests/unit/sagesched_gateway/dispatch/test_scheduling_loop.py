"""The loop around the core: commands are performed, events never nest, alarms ring."""

from __future__ import annotations

import asyncio

from dispatch_fakes import until

from sagesched_gateway.dispatch.loop import SchedulingLoop
from sagesched_gateway.scheduling.commands import Evict, Reject, Start, Stop, WakeAt
from sagesched_gateway.scheduling.events import Cancelled, Finished, Woken


class ScriptedCore:
    """Answers each event with what the test wrote down for it."""

    def __init__(self, script):
        self.script = script
        self.log = []
        self.depth = 0

    def handle(self, event, now):
        self.depth += 1
        assert self.depth == 1, "the core was called while it was being called"
        self.log.append(event)
        self.depth -= 1
        return self.script.get(type(event), [])


class Performer:
    def __init__(self, loop_of=None):
        self.done = []
        self.on_start = lambda: None

    def start(self, job_id):
        self.done.append(("start", job_id))
        self.on_start()

    def stop(self, job_id):
        self.done.append(("stop", job_id))

    def evict(self, job_id):
        self.done.append(("evict", job_id))

    def reject(self, refusal):
        self.done.append(("reject", refusal.job_id, refusal.reason))


async def test_commands_are_performed_in_order():
    core = ScriptedCore(
        {Cancelled: [Stop("a"), Start("b"), Reject("c", "never-fits", "too long"), Evict("d")]}
    )
    performer = Performer()
    SchedulingLoop(core, performer).post(Cancelled(job_id="a"))
    assert performer.done == [("stop", "a"), ("start", "b"), ("reject", "c", "never-fits"), ("evict", "d")]


async def test_an_event_posted_by_a_command_waits_for_its_turn():
    core = ScriptedCore({Cancelled: [Start("a"), Start("b")]})
    performer = Performer()
    loop = SchedulingLoop(core, performer)
    performer.on_start = lambda: loop.post(Finished(job_id="x"))
    loop.post(Cancelled(job_id="a"))
    assert [type(event) for event in core.log] == [Cancelled, Finished, Finished]
    assert performer.done == [("start", "a"), ("start", "b")]


async def test_an_alarm_rings_once_and_a_later_one_replaces_it():
    now = asyncio.get_running_loop().time()
    core = ScriptedCore({Cancelled: [WakeAt(now + 100.0)], Finished: [WakeAt(now + 0.005)]})
    loop = SchedulingLoop(core, Performer())
    loop.post(Cancelled(job_id="a"))
    loop.post(Finished(job_id="a"))
    await until(lambda: Woken() in core.log)
    assert core.log.count(Woken()) == 1


async def test_a_closed_loop_is_not_woken():
    now = asyncio.get_running_loop().time()
    core = ScriptedCore({Finished: [WakeAt(now)]})
    loop = SchedulingLoop(core, Performer())
    loop.post(Finished(job_id="a"))
    loop.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert Woken() not in core.log
