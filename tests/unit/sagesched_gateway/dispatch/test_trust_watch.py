from __future__ import annotations

import logging

import numpy as np
import pytest
from tests.unit.sagesched_gateway.dispatch.dispatch_fakes import Bench, a_message, ticks

from sagesched_gateway.dispatch.trust_watch import TrustWatch
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.trust import YOUNG_ANSWERS, Trust

WANTED = PolicySettings(name="sagesched")


class FakeRequest:
    model = "m"
    max_tokens = 100_000
    counts_tokens = True


class FakeGeneration:
    predicted: LengthDistribution | None = None


class FakeLive:
    """What `TrustWatch` looks at of a live request."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.request = FakeRequest()
        self.generation = FakeGeneration()
        self.started_at: float | None = None
        self.output_tokens = 0


class Traffic:
    """Predictions and answers through a watch, without an engine."""

    def __init__(self) -> None:
        self.used: list[str] = []
        self.watch = TrustWatch(
            WANTED, trust=Trust(), use=lambda policy: self.used.append(policy.name), tokens_of={}.get
        )
        self.rng = np.random.default_rng(0)
        self.number = 0

    def serve(self, count: int, *, is_related: bool = True, factor: float = 1.0) -> None:
        for _ in range(count):
            self.number += 1
            told, noise = self.rng.normal(size=2)
            live = FakeLive(f"r{self.number}")
            raw = LengthDistribution.from_samples(np.exp(5 + told + 0.7 * self.rng.normal(size=64)))
            live.generation.predicted = self.watch.predicted(live, raw)  # type: ignore[arg-type]
            self.watch.started(live)  # type: ignore[arg-type]
            hidden = told if is_related else self.rng.normal()
            live.output_tokens = max(1, round(factor * float(np.exp(5 + hidden + 0.7 * noise))))
            self.watch.ended(live, is_whole=True)  # type: ignore[arg-type]


def test_order_that_does_not_help_is_given_up_with_a_reason_and_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    traffic = Traffic()
    traffic.serve(500)
    assert traffic.used == []
    traffic.serve(400, is_related=False)
    assert traffic.used == ["fcfs"]
    assert traffic.watch.reason.startswith("fcfs: m: predicted and real order agree no better than by chance")
    assert any("order no longer helps, fcfs in effect: m: " in message for message in caplog.messages)
    traffic.serve(400)
    assert traffic.used == ["fcfs", "sagesched"]
    assert traffic.watch.reason == ""


def test_a_policy_asked_for_meanwhile_waits_until_order_helps() -> None:
    traffic = Traffic()
    traffic.serve(200)
    traffic.serve(400, is_related=False)
    traffic.watch.use_policy(PolicySettings(name="ssjf"))
    assert traffic.used == ["fcfs", "ssjf", "fcfs"]
    traffic.serve(400)
    assert traffic.used[-1] == "ssjf"


def test_twice_as_long_is_rescaled_and_told_but_still_ordered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    traffic = Traffic()
    traffic.serve(400)
    traffic.serve(200, factor=2)
    assert traffic.used == []
    report = traffic.watch.report
    assert not report.calibrated
    assert report.rescale.factor == pytest.approx(2, rel=0.35)
    assert any("not calibrated: m: of the last" in message for message in caplog.messages)


async def test_a_gateway_whose_predictions_mislead_serves_in_order_of_arrival() -> None:
    bench = Bench(policy="sagesched")
    rng = np.random.default_rng(1)
    running, running_tokens = bench.dispatcher.generate(a_message("first", max_tokens=10_000)), 5
    for number in range(YOUNG_ANSWERS + 200):
        prompt, tokens = f"prompt {number}", int(rng.integers(1, 900))
        waiting = bench.dispatcher.generate(a_message(prompt, max_tokens=10_000))
        bench.predictor.answer(prompt, *rng.lognormal(np.log(1000 - tokens), 0.3, size=8))
        bench.upstream.calls.pop().token(running_tokens, final=True)
        async for _ in running:
            pass
        while not bench.upstream.calls:
            await ticks(1)
        running, running_tokens = waiting, tokens
        bench.predictor.asked.clear()
    state = bench.dispatcher.snapshot()
    assert state.policy == "fcfs"
    assert state.policy_reason.startswith("fcfs: text: predicted and real order agree no better")
    assert not state.trust.useful
