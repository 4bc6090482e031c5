from __future__ import annotations

import subprocess
import sys

import pytest

from sagesched_emulator.dataset import Record
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_gateway.scheduling.policies.registry import POLICIES
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.comparison import REPLAYED
from sagesched_replay.knowledge import Ignorance, OtherAnswers, Truth
from sagesched_replay.replay import ReplaySettings, replay
from sagesched_replay.rivals.settings import RivalSettings
from sagesched_replay.told import ALL_ORACLES, ALL_POLICIES, told


def a_trace(num: int, rho: float) -> Trace:
    records = [
        Record(prompt="p", prompt_tokens=tokens, output_samples=(200, 300, 400), max_tokens=512)
        for tokens in (50, 900, 700, 500, 300, 100) * 100
    ]
    return draw_trace(records, profile=profile("kv-bound"), rho=rho, num_requests=num, seed=0)


def test_wspt_starts_the_shortest_prompt_that_waits() -> None:
    trace = a_trace(600, 50.0)
    run = replay(trace, profile("kv-bound"), ReplaySettings(policy=PolicySettings(name="wspt")), Ignorance())
    # What arrived in the first moments found a free engine; of the rest the shortest prompts went first.
    waited = [one for one in run.served if one.started_at is not None and one.started_at > trace.span_s]
    starts = sorted(waited, key=lambda one: (one.started_at, one.request.prompt_tokens))
    order = [one.request.prompt_tokens for one in starts]
    assert len(order) > 100
    assert order == sorted(order)


def test_the_gateway_knows_none_of_the_rivals() -> None:
    assert set(POLICIES) < set(REPLAYED)
    assert all(policy.__class__.__module__.startswith("sagesched_gateway") for policy in _made(POLICIES))


def _made(policies):
    return [make(PolicySettings()) for make in policies.values()]


@pytest.mark.parametrize("name", ALL_POLICIES)
def test_every_policy_serves_everybody(name: str) -> None:
    trace = a_trace(80, 1.5)
    settings = ReplaySettings(policy=RivalSettings(name=name))
    run = replay(trace, profile("kv-bound"), settings, told(name, OtherAnswers))
    assert [one.failure for one in run.served] == [None] * 80
    assert all(one.last_at is not None and one.first_at is not None for one in run.served)
    assert all(one.first_at > one.request.arrival_s for one in run.served if one.first_at is not None)


def test_oracles_and_nobody_else_are_told_the_truth() -> None:
    assert {name for name in ALL_POLICIES if isinstance(told(name, OtherAnswers), Truth)} == ALL_ORACLES
    assert {"sjf", "srpt"} == ALL_ORACLES


def test_help_names_every_policy() -> None:
    command = [sys.executable, "-m", "sagesched_replay.cli", "run", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = answer.replace(",", " ").split()
    assert set(ALL_POLICIES) <= set(words)
