"""A loaded pool is told another policy by `kubectl apply`: nothing is lost, answers come sooner."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from bed.installation import NAMESPACE
from bed.load import Account, Load, Request
from bed.pool import LITTLE, MakePool, emulated
from bed.record import Record
from bed.traffic import Traffic
from bed.usage import usage
from sagesched_emulator.answers import Answers

_IN_FLIGHT = 3
_NUM = 160
_PER_SECOND = 15.0
"""Twice what three places of the emulated engine can do, more where the machine is slow."""
_WAITING = 10
"""Requests that the change finds in the queue."""
_SHORT, _LONG = (8, 24), (300, 500)
_SHARE_LONG = 0.2


@pytest.mark.level(1)
@pytest.mark.timeout(300)
def test_policy_change_by_kubectl_apply(make_pool: MakePool, record: Record) -> None:
    def spec(policy: str) -> dict[str, object]:
        gateway = {"inFlight": _IN_FLIGHT, "resources": LITTLE}
        return emulated(gateway=gateway, scheduling={"policy": policy})

    with make_pool(spec("fcfs")) as pool:
        [pod] = pool.ready_pods()
        with Traffic(pool.cluster, Load(target=pool.address(), trace=_requests("before"))) as traffic:
            before = traffic.wait(120)
        with Traffic(pool.cluster, Load(target=pool.address(), trace=_requests("after"))) as traffic:
            pool.wait(lambda: pool.gateway_status(pod)["queue"]["queued"] >= _WAITING, "loaded", 60)
            pool.apply(spec("gittins-boost"))
            applied = pool.wait(
                lambda: pool.gateway_status(pod)["policy"] == "gittins-boost",
                "gittins-boost in the gateway",
                90,
            )
            told = pool.wait(lambda: pool.status()["policyInEffect"] == "gittins-boost", "told in status", 60)
            for namespace in (pool.namespace, NAMESPACE):
                record.proved(f"under load: {usage(pool.cluster, namespace)}")
            after = traffic.wait(120)
        pods = [each["metadata"]["uid"] for each in pool.pods()]
    record.proved(f"kubectl apply to policy in effect: {applied:.1f} s, to status: {applied + told:.1f} s")
    for policy, account in (("fcfs", before), (f"gittins-boost, with {_WAITING} waiting", after)):
        record.answered(account, policy, f"; mean TTLT {_mean_ttlt_s(account):.1f} s")
        assert account.problems == []
        assert account.errors == {}
    assert pods == [pod["metadata"]["uid"]]
    assert _mean_ttlt_s(after) < 0.8 * _mean_ttlt_s(before)


def _requests(name: str) -> tuple[Request, ...]:
    """Poisson arrivals; the same times and caps for every name, and prompts of its own."""
    chance, answers, at_s = random.Random(7), Answers(), 0.0
    requests = []
    for number in range(_NUM):
        cap = chance.randint(*(_LONG if chance.random() < _SHARE_LONG else _SHORT))
        prompt = f"{name}: please tell me story number {number}, at most {cap} words of it."
        tokens = min(cap, answers.next(prompt).output_tokens)
        requests.append(Request(prompt=prompt, max_tokens=cap, tokens=tokens, at_s=at_s))
        at_s += chance.expovariate(_PER_SECOND)
    return tuple(requests)


def _mean_ttlt_s(account: Account) -> float:
    return fmean(each.last - each.due for each in account.timings if each.last is not None)
