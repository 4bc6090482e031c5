"""Predictions, policies and engines change while requests wait."""

import pytest

from sagesched_gateway.scheduling.events import PolicyChanged, PoolDistributionChanged
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor.distribution import LengthDistribution


def waiting(a_core, policy="ssjf", **outputs):
    core = a_core(policy)
    core.submit("running")
    for job_id, output in outputs.items():
        core.submit(job_id, output=output)
    return core


def test_a_prediction_moves_its_job_only(a_core):
    core = waiting(a_core, a=40, b=30, c=20)
    core.predict("a", 10)
    assert core.drain() == ["running", "a", "c", "b"]


def test_a_prediction_of_a_running_job_is_ignored(a_core):
    core = waiting(a_core, a=40)
    assert core.predict("running", 1) == []


def test_a_better_prediction_replaces_an_earlier_one(a_core):
    core = waiting(a_core, a=10, b=20)
    core.predict("a", 30)
    assert core.drain() == ["running", "b", "a"]


def test_jobs_without_a_prediction_sort_as_the_pool_does(a_core):
    core = waiting(a_core, a=None, b=30, c=10)
    core.handle(PoolDistributionChanged(distribution=LengthDistribution.point(40)))
    core.finish("running")
    assert core.scheduler.books.queue.first(2) == ["b", "a"]
    core.handle(PoolDistributionChanged(distribution=LengthDistribution.point(20)))
    assert core.drain() == ["running", "c", "a", "b"]


def test_a_small_cap_counts_before_anything_is_known(a_core):
    core = a_core("sagesched")
    core.submit("running")
    core.submit("long", max_tokens=1000)
    core.submit("short", max_tokens=10)
    assert core.drain() == ["running", "short", "long"]


def test_another_policy_orders_those_that_already_wait(a_core):
    core = waiting(a_core, "fcfs", a=40, b=30, c=20)
    core.handle(PolicyChanged(settings=PolicySettings(name="ssjf")))
    assert core.scheduler.snapshot().policy == "ssjf"
    assert core.drain() == ["running", "c", "b", "a"]


def test_an_unknown_policy_changes_nothing(a_core):
    core = waiting(a_core, "ssjf", a=40, b=30)
    with pytest.raises(ValueError, match="unknown policy 'no-such'"):
        core.handle(PolicyChanged(settings=PolicySettings(name="no-such")))
    assert core.drain() == ["running", "b", "a"]


def test_another_engine_costs_those_that_wait_anew(a_core):
    core = waiting(a_core, "gittins-boost", a=40, b=30)
    before = core.scheduler.snapshot().backlog_s
    core.change(slots=1, prefill_s_per_token=1e-3)
    assert core.scheduler.snapshot().backlog_s > before


def test_a_faster_engine_keeps_the_order_and_shortens_the_backlog(a_core):
    core = waiting(a_core, "gittins-boost", a=40, b=30)
    before = core.scheduler.snapshot().backlog_s
    core.change(iteration_s=0.005)
    assert core.scheduler.snapshot().backlog_s == pytest.approx(before / 2, rel=1e-3)


def test_the_snapshot_says_what_is_going_on(a_core):
    core = a_core("gittins-boost", kv_blocks=100, prefill_s_per_token=0.0)
    core.now = 0.001
    core.submit("running", prompt=50, max_tokens=100)
    core.now = 0.002
    core.submit("a", output=60)
    core.now = 0.003
    core.submit("b", output=4)
    snapshot = core.scheduler.snapshot()
    assert snapshot.policy == "gittins-boost"
    assert (snapshot.num_queued, snapshot.num_running) == (2, 1)
    assert (snapshot.slots, snapshot.reserved_slots) == (1, 1)
    assert (snapshot.kv_blocks, snapshot.reserved_blocks, snapshot.unprefilled_tokens) == (100, 15, 50)
    assert snapshot.backlog_s == pytest.approx(64 * 0.01)
    assert snapshot.oldest_arrival_at == 0.002
    assert snapshot.gamma == pytest.approx(1.0 / 0.01)
    core.finish("running")
    # 64 steps waited when the last decision was made: γ = 2⁻⁶ per step of 10 ms.
    assert core.scheduler.snapshot().gamma == pytest.approx(2.0**-6 / 0.01)
    assert core.scheduler.snapshot().num_rekeys == 1


def test_where_nothing_waits_nothing_is_given_a_new_key(a_core):
    core = a_core("gittins-boost", kv_blocks=100)
    core.change(kv_blocks=50)
    core.handle(PolicyChanged(settings=PolicySettings(name="sagesched")))
    assert core.scheduler.snapshot().num_rekeys == 0
    core.submit("running")
    core.submit("a", output=60)
    core.handle(PolicyChanged(settings=PolicySettings(name="fcfs")))
    assert core.scheduler.snapshot().num_rekeys == 1


def test_an_empty_core_has_nothing_to_say(a_core):
    snapshot = a_core("fcfs").scheduler.snapshot()
    assert snapshot.gamma is None
    assert snapshot.oldest_arrival_at is None
    assert (snapshot.num_queued, snapshot.num_running, snapshot.backlog_s) == (0, 0, 0.0)
