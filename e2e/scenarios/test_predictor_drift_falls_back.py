"""The model changes so that prompts tell nothing of answers any more: `fcfs` takes over, and gives back."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bed.load import Load, Request
from bed.pool import Pool, emulated
from bed.record import Record
from bed.told import told_pool
from bed.traffic import Traffic
from cluster.node.single_node import SingleNode

_PER_SECOND = 12.0
_WARM, _SHUFFLED, _MENDED = 240, 420, 240
_KINDS = (
    ("Yes or no, in one word: is {} an even number?", 6),
    ("Translate the word '{}' into French.", 12),
    ("Give the capital of province {} and the year in which it was founded.", 25),
    ("Explain in two sentences what law number {} of thermodynamics says.", 50),
    ("Write a Python function which sorts table {} by its second column, with a docstring.", 90),
    ("Write a long and detailed story about the {} knights of the round table, with dialogues.", 150),
)
"""Task, and tokens that its answers have, more or less."""


@pytest.fixture
def pool(installed: SingleNode) -> Iterator[Pool]:
    requests = (each for story in _stories().values() for each in story)
    with told_pool(installed, f"predictor-drift-{int(time.time()) % 10000}", emulated(), requests) as pool:
        yield pool


@pytest.mark.level(2)
@pytest.mark.timeout(400)
def test_predictor_drift_falls_back(pool: Pool, record: Record) -> None:
    accounts = []
    for name, requests in _stories().items():
        with Traffic(pool.cluster, Load(target=pool.address(), trace=requests, name=name)) as traffic:
            if name == "shuffled":
                _falls_back(pool, record)
            if name == "mended":
                _gives_back(pool, record)
            accounts.append(traffic.wait(150))
        if name == "warm":
            status = _status(pool)
            assert status["policy"] == "gittins-boost"
            record.proved(f"before: concordance {status['predictor']['concordance']:.2f}")
    for account in accounts:
        record.answered(account)
        assert account.problems == []
        assert account.errors == {}


def _falls_back(pool: Pool, record: Record) -> None:
    fell = pool.wait(lambda: _status(pool)["policy"] == "fcfs", "in order of arrival", 60)
    pool.wait(lambda: pool.condition("SchedulingDegraded").get("status") == "True", "told", 30)
    told = pool.condition("SchedulingDegraded")
    assert told["reason"] == "PolicyFallback"
    assert "policy fcfs in effect instead of gittins-boost" in told["message"]
    judged = pool.condition("PredictorCalibrated")
    assert (judged["status"], judged["reason"]) == ("False", "PredictorOffTarget")
    events = [each for each in pool.get("events")["items"] if each["reason"] == "PolicyFallback"]
    assert [each["type"] for each in events] == ["Warning"]
    assert _metric(pool, "sagesched_gateway_policy_fallback") == 1
    record.proved(f"fcfs in effect {fell:.1f} s after the change, {fell * _PER_SECOND:.0f} requests")
    record.proved(
        f"conditions ({told['reason']}, {judged['reason']}), event and metric say so: {told['message']}"
    )


def _gives_back(pool: Pool, record: Record) -> None:
    back = pool.wait(lambda: _status(pool)["policy"] == "gittins-boost", "under its policy again", 60)
    pool.wait(lambda: pool.condition("SchedulingDegraded").get("status") == "False", "told", 30)
    assert _metric(pool, "sagesched_gateway_policy_fallback") == 0
    record.proved(f"under its policy again {back:.1f} s after answers are as before")


def _status(pool: Pool) -> Mapping[str, Any]:
    [pod] = pool.ready_pods()
    return pool.gateway_status(pod)


def _metric(pool: Pool, name: str) -> float:
    [pod] = pool.ready_pods()
    path = f"/api/v1/namespaces/{pool.namespace}/pods/{pod['metadata']['name']}:8002/proxy/metrics"
    lines = pool.cluster.kubectl("get", "--raw", path).splitlines()
    [line] = [each for each in lines if each.startswith((f"{name} ", f"{name}{{"))]
    return float(line.rpartition(" ")[2])


def _stories() -> dict[str, tuple[Request, ...]]:
    """As a predictor learns them; each with the length of another's; as before."""
    return {
        "warm": _requests("warm", _WARM, is_shuffled=False),
        "shuffled": _requests("shuffled", _SHUFFLED, is_shuffled=True),
        "mended": _requests("mended", _MENDED, is_shuffled=False),
    }


def _requests(name: str, count: int, *, is_shuffled: bool) -> tuple[Request, ...]:
    chance, requests = random.Random(name), []
    for number in range(count):
        task, usual = chance.choice(_KINDS)
        if is_shuffled:
            usual = chance.choice(_KINDS)[1]
        tokens = round(usual * chance.uniform(0.8, 1.25))
        prompt = task.format(f"{name}-{number}")
        requests.append(Request(prompt=prompt, max_tokens=400, tokens=tokens, at_s=number / _PER_SECOND))
    return tuple(requests)
