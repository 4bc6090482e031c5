"""A loaded pool is told another policy by `kubectl apply`: nothing is lost, answers come sooner."""

from __future__ import annotations

import random
import time
from statistics import fmean

import pytest

from bed.load import Load, Request
from bed.pool import MakePool, emulated
from bed.record import Record
from bed.traffic import Traffic
from bed.usage import usage
from sagesched_emulator.answers import Answers

_IN_FLIGHT = 4
_LOADED_S = 20.0
_PER_SECOND = 10.0
_QUIET_S = 16.0
"""Until what waited of the first half has been served."""
_SHORT, _LONG = (8, 24), (300, 500)
_SHARE_LONG = 0.2


@pytest.mark.level(1)
@pytest.mark.timeout(300)
def test_policy_change_by_kubectl_apply(make_pool: MakePool, record: Record) -> None:
    def spec(policy: str) -> dict[str, object]:
        resources = {"requests": {"cpu": "50m", "memory": "256Mi"}}
        gateway = {"inFlight": _IN_FLIGHT, "resources": resources}
        return emulated(gateway=gateway, scheduling={"policy": policy})

    first, second = _requests("before", 0.0), _requests("after", _LOADED_S + _QUIET_S)
    with make_pool(spec("fcfs")) as pool:
        load = Load(target=pool.address(), trace=(*first, *second), name="trace")
        with Traffic(pool.cluster, load) as traffic:
            time.sleep(_LOADED_S)
            [pod] = pool.ready_pods()
            waiting = pool.gateway_status(pod)["queue"]["queued"]
            record.proved(f"under load: {usage(pool.cluster, pool.namespace)}")
            pool.apply(spec("gittins-boost"))
            applied = pool.wait(
                lambda: pool.gateway_status(pod)["policy"] == "gittins-boost",
                "gittins-boost in the gateway",
                90,
            )
            told = pool.wait(lambda: pool.status()["policyInEffect"] == "gittins-boost", "told in status", 60)
            account = traffic.wait(120)
        pods = [each["metadata"]["uid"] for each in pool.pods()]
    record.proved(account.in_words())
    record.proved(f"kubectl apply to policy in effect: {applied:.1f} s, to status: {applied + told:.1f} s")
    before, after = (
        fmean(each.last - each.due for each in half if each.last is not None)
        for half in (account.timings[: len(first)], account.timings[len(first) :])
    )
    record.proved(
        f"{waiting} waiting at the change; mean TTLT {before:.1f} s under fcfs, {after:.1f} s after"
    )
    assert account.problems == []
    assert account.errors == {}
    assert waiting > 10
    assert pods == [pod["metadata"]["uid"]]
    assert after < 0.8 * before


def _requests(name: str, begins_s: float) -> list[Request]:
    """Poisson arrivals; both halves have the same times and caps, and their own prompts."""
    chance, answers, at_s = random.Random(7), Answers(), begins_s
    requests = []
    while at_s < begins_s + _LOADED_S:
        bounds = _LONG if chance.random() < _SHARE_LONG else _SHORT
        cap = chance.randint(*bounds)
        prompt = f"{name}: please tell me story number {len(requests)}, at most {cap} words of it."
        tokens = min(cap, answers.next(prompt).output_tokens)
        requests.append(Request(prompt=prompt, max_tokens=cap, tokens=tokens, at_s=at_s))
        at_s += chance.expovariate(_PER_SECOND)
    return requests
