"""`kubectl scale` to fewer pods: the idle one goes, the others' long streams are not touched."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from bed.load import Load, Request
from bed.pool import KIND, MakePool, emulated
from bed.record import Record
from bed.traffic import Traffic
from sagesched_emulator.answers import Answers

_LONG_TOKENS = 2000
"""So many that they are still being answered when the pod that goes has been picked."""
_STREAMS = 3


@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_scale_down_picks_idle_pod(make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(3)) as pool, ExitStack() as clients:
        *busy, idle = pool.ready_pods()
        traffic = []
        for number, pod in enumerate(busy):
            load = Load(
                target=pod["status"]["podIP"], trace=_long_requests(f"pod {number}"), name=f"long-{number}"
            )
            traffic.append(clients.enter_context(Traffic(pool.cluster, load)))
        for pod in busy:
            pool.wait(lambda pod=pod: pool.gateway_status(pod)["queue"]["in_flight"] == _STREAMS, "busy", 60)
        pool.kubectl("scale", KIND, pool.name, "--replicas=2")
        pool.wait(lambda: len(pool.ready_pods()) == 2, "shrunk", 60)
        left = {pod["metadata"]["name"] for pod in pool.ready_pods()}
        accounts = [each.wait(120) for each in traffic]
    assert left == {pod["metadata"]["name"] for pod in busy}, f"the idle one was {idle['metadata']['name']}"
    record.proved("of three pods the idle one went")
    for account in accounts:
        record.answered(account)
        assert account.problems == []
        assert account.num_complete == _STREAMS


def _long_requests(name: str) -> tuple[Request, ...]:
    """Prompts that are known to be answered at length."""
    answers, requests, number = Answers(), [], 0
    while len(requests) < _STREAMS:
        prompt = f"{name}: tell me everything about number {number}."
        number += 1
        if answers.next(prompt).output_tokens >= _LONG_TOKENS:
            tokens = _LONG_TOKENS
            requests.append(Request(prompt=prompt, max_tokens=tokens, tokens=tokens, at_s=0.0))
    return tuple(requests)
