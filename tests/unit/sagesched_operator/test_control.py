"""Queue, caches, pods, victims, fights: the small parts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from builders import a_pod, a_report

from sagesched_operator.cluster.cache import Cache
from sagesched_operator.control.children import trim
from sagesched_operator.control.fights import Fights
from sagesched_operator.control.metrics import OperatorMetrics
from sagesched_operator.control.outcome import Outcome
from sagesched_operator.control.pods import trim as trim_pod
from sagesched_operator.control.pods import view
from sagesched_operator.control.queue import WorkQueue
from sagesched_operator.control.store import PoolStore
from sagesched_operator.control.victims import GOES, deletion_costs
from sagesched_operator.control.workers import NUM_WORKERS, Workers
from sagesched_operator.names import APPLIED_HASH, POOL_LABEL


async def test_a_pool_asked_for_again_while_it_is_worked_on_comes_back():
    queue = WorkQueue()
    queue.add(("a", "b"))
    queue.add(("a", "b"))
    key = await queue.take()
    queue.add(key)
    second = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not second.done()
    queue.done(key)
    assert await second == key
    assert len(queue) == 0


async def test_a_pool_that_takes_long_holds_up_no_other():
    queue = WorkQueue()
    queue.add(("a", "slow"))
    slow = await queue.take()
    queue.add(slow)
    queue.add(("a", "other"), 0.02)
    async with asyncio.timeout(5):
        assert await queue.take() == ("a", "other")


async def test_the_earliest_time_counts():
    queue = WorkQueue()
    queue.add(("a", "later"), 30.0)
    queue.add(("a", "sooner"), 0.02)
    queue.add(("a", "later"), 0.05)
    assert [await queue.take(), await queue.take()] == [("a", "sooner"), ("a", "later")]


async def test_what_failed_is_not_looked_at_earlier_whatever_happens():
    queue, key = WorkQueue(), ("a", "b")
    queue.add(key)
    queue.hold(key, 0.05)
    queue.add(key)
    began_at = asyncio.get_running_loop().time()
    await queue.take()
    assert asyncio.get_running_loop().time() - began_at >= 0.05
    queue.done(key)
    queue.free(key)
    queue.add(key)
    assert await queue.take() == key


async def test_who_leads_no_more_has_no_pools_that_wait():
    queue, metrics, all_work = WorkQueue(), OperatorMetrics(), asyncio.Event()

    class Busy:
        async def reconcile(self, key):
            if key == ("n", str(NUM_WORKERS - 1)):
                all_work.set()
            await asyncio.Event().wait()

    for number in range(NUM_WORKERS + 5):
        queue.add(("n", str(number)))
    leading = asyncio.create_task(Workers(queue, Busy(), metrics).run())
    async with asyncio.timeout(5):
        await all_work.wait()
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert len(queue) == 5
    assert metrics.registry.get_sample_value("sagesched_operator_queue_depth") == 0


async def test_what_is_left_unfinished_is_tried_again_soon_and_counts_as_such():
    """Alerts are about tries that end badly, and a webhook that does not answer lets none end well."""
    queue, metrics, tried, done = WorkQueue(), OperatorMetrics(), [], asyncio.Event()

    class Unfinished:
        async def reconcile(self, key):
            tried.append(key)
            if len(tried) == 3:
                done.set()
            return Outcome(is_unfinished=len(tried) < 3)

    queue.add(("n", "p"))
    leading = asyncio.create_task(Workers(queue, Unfinished(), metrics).run())
    async with asyncio.timeout(10):
        await done.wait()
    await asyncio.sleep(0)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    name = "sagesched_operator_reconciles_total"
    assert metrics.registry.get_sample_value(name, {"result": "retry"}) == 2
    assert metrics.registry.get_sample_value(name, {"result": "unchanged"}) == 1


def an_object(version, *, uid="u", **metadata):
    labels = {"serving.sagesched.io/pool": "p"}
    known = {"namespace": "n", "name": "x", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": {**known, **metadata}}


def test_old_news_do_not_undo_what_we_have_written():
    heard = []
    cache = Cache(lambda key, how: heard.append(how))
    cache.put(an_object(1))
    cache.put(an_object(3), is_ours=True)
    cache.put(an_object(2))
    cache.put(an_object(3))
    assert heard == ["added"]
    assert cache.find(("n", "p"), "x").version == 3


def test_a_listing_tells_what_is_gone():
    heard = []
    cache = Cache(lambda key, how: heard.append(how))
    cache.put(an_object(1))
    cache.keep_only((), None)
    assert heard == ["added", "removed"]
    assert len(cache) == 0


def test_an_object_that_is_given_another_label_leaves_its_pool():
    """As people do with a pod that they want to look at while another takes its place."""
    heard = []
    cache = Cache(lambda key, how: heard.append((key[1], how)))
    cache.put(an_object(1))
    aside = an_object(2, labels={"serving.sagesched.io/pool": "aside"})
    cache.put(aside)
    assert cache.of(("n", "p")) == []
    assert heard == [("p", "added"), ("p", "removed"), ("aside", "added")]
    cache.remove(aside)
    assert len(cache) == 0


def test_the_last_foreign_manager_is_known():
    managed = [
        {"manager": "sagesched-operator", "time": "3"},
        {"manager": "kubectl-edit", "time": "2"},
        {"manager": "helm", "time": "1"},
        {"manager": "hpa", "time": "4", "subresource": "status"},
    ]
    cache = Cache(lambda key, how: None)
    cache.put(an_object(1, managedFields=managed))
    assert cache.find(("n", "p"), "x").manager == "kubectl-edit"


def test_of_what_is_large_and_not_read_nothing_is_kept():
    large = {"note": 1000 * "x"}
    ours = an_object(1, annotations={**large, APPLIED_HASH: "h"})
    for trimmed in (trim, trim_pod):
        cache = Cache(lambda key, how: None, trimmed)
        cache.put(an_object(1, annotations=large, labels={POOL_LABEL: "p", **large}) | {"data": large})
        assert len(cache.find(("n", "p"), "x").text) < 300
    assert trim(ours | {"data": large}) == ours | {"data": large}


def test_a_pool_made_anew_is_another():
    heard = []
    pools = PoolStore(heard.append)
    pools.put(an_object(1, uid="old"))
    pools.put(an_object(2, uid="new"))
    pools.remove(("n", "x"), "old")
    assert pools.get(("n", "x")).uid == "new"


def test_a_spec_that_changed_before_our_status_was_written_is_heard_of():
    heard = []
    pools = PoolStore(heard.append)
    pools.put(an_object(1, generation=1))
    pools.put(an_object(2, generation=1), is_ours=True)
    assert len(heard) == 1
    pools.put(an_object(4, generation=2), is_ours=True)  # whoever wrote version 3 changed the spec
    assert len(heard) == 2
    pools.put(an_object(3, generation=2))
    assert len(heard) == 2


def a_body(**status):
    return {"metadata": {"name": "a", "uid": "a"}, "status": status}


def test_pods_tell_why_they_are_not_ready():
    unschedulable = [
        {"type": "PodScheduled", "status": "False", "message": "0/2: Insufficient nvidia.com/gpu"}
    ]
    assert view(a_body(conditions=unschedulable)).message.startswith("waiting for a GPU: 0/2")
    pulling = {"name": "triton", "image": "i", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    assert view(a_body(containerStatuses=[pulling])).reason == "ImagePullFailed"
    ended = {"name": "fetch-model", "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    assert view(a_body(initContainerStatuses=[ended])).reason == "ModelFetchFailed"
    said = {"exitCode": 1, "reason": "Error", "message": "Traceback ...\nClientError: (403) Forbidden\n\n"}
    refused = view(a_body(initContainerStatuses=[{"name": "fetch-model", "state": {"terminated": said}}]))
    assert refused.message == (
        "container fetch-model ended with Error, exit code 1: ClientError: (403) Forbidden"
    )
    other = {"exitCode": 1, "message": "sagesched-gateway: /source: its files have the digest sha256:b"}
    altered = view(
        a_body(initContainerStatuses=[{"name": "verify-model", "lastState": {"terminated": other}}])
    )
    assert (altered.reason, altered.message) == ("DigestMismatch", other["message"])
    killed = {"name": "triton", "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    assert (
        view(a_body(containerStatuses=[killed])).message
        == "container triton ended with OOMKilled, exit code 137"
    )
    mounting = [{"type": "PodReadyToStartContainers", "status": "False"}]
    assert "kubectl describe pod a" in view(a_body(conditions=mounting)).message
    bringing = {"name": "copy-model", "state": {"running": {}}}
    assert "bringing files (copy-model)" in view(a_body(initContainerStatuses=[bringing])).message
    assert view(a_body(conditions=[{"type": "Ready", "status": "True"}])).reason == ""


def test_an_evicted_pod_is_over():
    killed = {"name": "triton", "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
    assert view(a_body(phase="Failed", reason="Evicted", containerStatuses=[killed])).is_ending
    assert not view(a_body(phase="Running", containerStatuses=[killed])).is_ending


def test_a_gateway_is_asked_from_its_start_to_the_end_of_its_pod():
    """Else a pool that fetches its first model for long looks as if the operator could reach nobody."""
    waiting = {"name": "gateway", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
    running = {"name": "gateway", "restartCount": 0, "state": {"running": {}}}
    fallen = {"name": "gateway", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}

    def ip_of(gateway, phase="Running"):
        fetch = {"name": "fetch-model", "state": {"running": {}}}
        return view(a_body(podIP="10.0.0.1", phase=phase, initContainerStatuses=[fetch, gateway])).ip

    assert ip_of(waiting, "Pending") == ""
    assert ip_of(running) == ip_of(fallen) == "10.0.0.1"
    assert ip_of(running, "Failed") == ""


def test_the_pods_with_the_least_work_go_and_marks_of_before_are_taken_away():
    pods = [a_pod("busy"), a_pod("idle"), a_pod("silent"), a_pod("kept", deletion_cost=GOES)]
    reports = {"busy": a_report(work_s=30.0), "idle": a_report(), "kept": a_report(work_s=60.0)}
    assert deletion_costs(pods, reports, 1) == {"idle": GOES, "kept": None}
    assert deletion_costs(pods, reports, 2) == {"idle": GOES, "busy": GOES, "kept": None}


def test_pods_that_are_not_ready_go_by_themselves_first():
    pods = [a_pod("a"), a_pod("b", ready=False)]
    assert deletion_costs(pods, {"a": a_report()}, 1) == {}


def test_repairs_pause_after_five_and_begin_again_later():
    fights, child = Fights(), ("Service", "n", "x")
    for now in range(5):
        assert fights.pause_s(child, now) == 0
        fights.repaired(child, now)
    assert fights.pause_s(child, 5) == 59
    assert fights.pause_s(child, 64) == 0
    assert fights.pause_s(child, 1000) == 0


def test_what_is_not_kept_is_not_written_again_until_it_is_another():
    fights, child = Fights(), ("Deployment", "n", "x")
    fights.wrote(child, "h", "spec.a", 0.0)
    assert fights.not_kept_pause_s(child, "h", "spec.a", 100.0) == 200.0
    assert fights.not_kept_pause_s(child, "h", "spec.a", 400.0) == 0.0
    assert fights.not_kept_pause_s(child, "h", "spec.b", 100.0) == 0.0  # somebody changed another field
    assert fights.not_kept_pause_s(child, "other", "spec.a", 100.0) == 0.0
    fights.wrote(child, "h", "", 1.0)
    assert fights.not_kept_pause_s(child, "h", "spec.a", 100.0) == 0.0


def test_what_was_written_just_so_and_is_not_so_any_more_was_undone():
    fights, child = Fights(), ("Deployment", "n", "x")
    fights.wrote(child, "ours", "", 0.0)
    assert fights.is_undone(child, "ours")
    fights.wrote(child, "changed", "", 1.0)  # the pool asked for something else meanwhile
    assert not fights.is_undone(child, "ours")
    fights.wrote(("Service", "n", "x"), "other", "", 700.0)
    assert not fights.is_undone(child, "changed")  # long ago
