"""Triton crashes: what ran ends with an error that says so, what waited is answered once Triton is back."""

from __future__ import annotations

import time

import pytest

from bed.load import Load, Request
from bed.pool import LITTLE, MakePool, emulated, restarts
from bed.record import Record
from bed.traffic import Traffic
from sagesched_emulator.answers import Answers

_IN_FLIGHT = 2
_NUM = 12
_CAP = 600


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_triton_crash(make_pool: MakePool, record: Record) -> None:
    gateway = {"inFlight": _IN_FLIGHT, "resources": LITTLE}
    with make_pool(emulated(1, gateway=gateway)) as pool:
        [pod] = pool.ready_pods()
        with Traffic(pool.cluster, Load(target=pool.address(), trace=_all_at_once())) as traffic:
            pool.wait(lambda: pool.gateway_status(pod)["queue"]["queued"] > 0, "waiting", 60)
            time.sleep(3.0)  # until tokens have come: before the first, a request would be sent again
            pool.crash(pod, "triton")
            account = traffic.wait(150)
        pool.wait(lambda: len(pool.ready_pods()) == 1, "ready again", 60)
        [after] = pool.pods()
    record.answered(account, f"{_NUM} requests at once, {_IN_FLIGHT} in the engine")
    assert restarts(after) == {"triton": 1}
    assert account.problems == []
    assert 1 <= sum(account.errors.values()) <= _IN_FLIGHT
    assert all("Triton" in error for error in account.errors)


def _all_at_once() -> tuple[Request, ...]:
    """Long answers first, so that two of them run for some seconds."""
    answers = Answers()
    prompts = [f"Please tell me all about crash number {number}." for number in range(_NUM)]
    lengths = {prompt: min(_CAP, answers.next(prompt).output_tokens) for prompt in prompts}
    return tuple(
        Request(prompt=prompt, max_tokens=_CAP, tokens=tokens, at_s=0.0)
        for prompt, tokens in sorted(lengths.items(), key=lambda item: -item[1])
    )
