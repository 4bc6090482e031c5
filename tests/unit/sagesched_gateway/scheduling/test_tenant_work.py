"""What goes before a request where tenants share: as their queues say, without asking all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_gateway.scheduling import events
from sagesched_gateway.scheduling.job import Flow
from sagesched_gateway.scheduling.policies.fcfs import Fcfs
from sagesched_gateway.scheduling.queue import KeyedQueue, Work
from sagesched_gateway.scheduling.settings import PressureSettings, TenantSettings
from sagesched_gateway.scheduling.tenants import FairQueue, FairShares
from sagesched_predictor.distribution import LengthDistribution

FLOWS = [Flow(band, tenant) for band in (0, 1) for tenant in "abc"]
ROW = np.zeros(1)

_flows = st.sampled_from(FLOWS)
_steps = st.floats(0.0, 1000.0)
_pushes = st.tuples(st.just("push"), _flows, _steps)
_removals = st.tuples(st.just("remove"), st.integers(0, 30), _steps)
_changes = st.tuples(st.just("replace"), st.integers(0, 30), _steps)
_charges = st.tuples(st.just("charge"), _flows, _steps)
_settlings = st.tuples(st.just("settle"), _flows, _steps)


def one_by_one(queue: FairQueue, waiting: dict[str, tuple[Flow, float]], flow: Flow) -> Work:
    """All that waits of one tenant, and what is due to others until then."""
    shares = queue.shares
    works = {other: sum(steps for job, steps in waiting.values() if job == other) for other in FLOWS}
    reached = shares.tag(flow) + works[flow] / shares.weight(flow)
    mean, variance = works[flow], 2 * works[flow]
    for other in FLOWS:
        if other == flow or other.band < flow.band or not works[other]:
            continue
        due = shares.weight(other) * (reached - shares.tag(other))
        share = 1.0 if other.band > flow.band else min(max(due / works[other], 0.0), 1.0)
        mean, variance = mean + share * works[other], variance + share * 2 * works[other]
    return Work(mean, variance)


@given(st.lists(st.one_of(_pushes, _removals, _changes, _charges, _settlings), max_size=40))
def test_work_ahead_follows_whatever_happens(deeds):
    shares = FairShares(TenantSettings(weights={"a": 3.0}))
    queue = FairQueue(Fcfs, shares)
    waiting: dict[str, tuple[Flow, float]] = {}
    for number, (deed, what, steps) in enumerate(deeds):
        if deed == "push":
            waiting[f"{number}"] = (what, steps)
            queue.push(f"{number}", 0.0, ROW, Work(steps, 2 * steps), what)
        elif deed == "charge":
            shares.charge(str(what), what, steps, 10.0)
        elif deed == "settle":
            shares.settle(str(what), what, steps)
        elif waiting:
            job_id = list(waiting)[what % len(waiting)]
            if deed == "remove":
                del waiting[job_id]
                queue.remove(job_id)
            else:
                waiting[job_id] = (waiting[job_id][0], steps)
                queue.replace_row(job_id, ROW, Work(steps, 2 * steps))
        for flow in FLOWS:
            assert queue.ahead_of(1.0, flow) == pytest.approx(one_by_one(queue, waiting, flow), abs=1e-6)


def test_a_drain_asks_tenants_again_only_where_their_work_has_changed(a_core, monkeypatch):
    core = a_core("fcfs", slots=1)
    tenants = TenantSettings()
    core.handle(events.PressureChanged(settings=PressureSettings(tenants=tenants, measure_waits=True)))
    for number in range(200):
        core.handle(
            events.Submitted(
                job_id=f"{number}",
                arrival_at=core.now,
                prompt_tokens=10,
                max_tokens=1000,
                distribution=LengthDistribution.point(100),
                tenant=f"tenant {number % 50}",
            )
        )
    num_asked = 0
    total = KeyedQueue.total

    def counted(queue: KeyedQueue) -> Work:
        nonlocal num_asked
        num_asked += 1
        return total(queue)

    monkeypatch.setattr(KeyedQueue, "total", counted)
    refused = core.handle(events.Draining(until=core.now + 60.0))
    assert 100 < len(refused) < 199
    # All once for the first that is judged, one for each that is refused; all left when a tenant is gone.
    assert num_asked < 50 + 200 + 50 * 50 / 2 < 200 * 49
