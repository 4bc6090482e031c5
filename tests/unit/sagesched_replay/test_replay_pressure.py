"""Replay under pressure: evictions, deadlines, limits and tenants, in virtual time."""

from dataclasses import replace

import numpy as np
import pytest

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.step_time import StepTime
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_gateway.scheduling.settings import (
    DeadlineSettings,
    OverloadSettings,
    PolicySettings,
    PressureSettings,
    TenantSettings,
)
from sagesched_predictor import LengthDistribution
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import ReplayRun, ReplaySettings, replay
from sagesched_replay.report import frontier_table, run_figures


def an_engine(slots: int = 1, blocks: int = 1000, step_s: float = 0.01) -> EngineProfile:
    return EngineProfile(
        name="tiny",
        step_time=StepTime(step_s, 0.0, 0.0, 0.0),
        max_batch_size=slots,
        max_num_tokens=1000,
        kv_blocks=blocks,
        block_tokens=4,
    )


def a_request(name: str, arrival_s: float = 0.0, output: int = 100, **fields: object) -> TraceRequest:
    asked = TraceRequest(
        id=name,
        prompt="",
        prompt_tokens=4,
        max_tokens=400,
        arrival_s=arrival_s,
        output_tokens=output,
        known=LengthDistribution.point(output),
    )
    return replace(asked, **fields)


def a_trace(*requests: TraceRequest) -> Trace:
    return Trace(requests=requests, rho=1.0, seed=0, span_s=requests[-1].arrival_s)


def run(
    trace: Trace, engine: EngineProfile, policy: str = "fcfs", retries: int = 0, **pressure: object
) -> ReplayRun:
    settings = ReplaySettings(
        policy=PolicySettings(name=policy),
        stream_interval=1,
        retries=retries,
        eta_quantile=0.9,
        pressure=PressureSettings(**pressure),  # type: ignore[arg-type]
    )
    return replay(trace, engine, settings, OtherAnswers())


def unsure() -> tuple[Trace, EngineProfile]:
    """More than the cache holds, and lengths known only as between one token and forty times as many."""
    draw = np.random.default_rng(0)
    requests = [a_request(f"r{number}", 0.05 * number, int(draw.integers(1, 80))) for number in range(80)]
    spread = LengthDistribution.from_samples(range(1, 81))
    return a_trace(*(replace(r, known=spread, max_tokens=80) for r in requests)), an_engine(32, blocks=120)


def test_amin_cancels_and_everybody_ends():
    trace, engine = unsure()
    result = run(trace, engine, "amin")
    figures = run_figures(result)
    assert figures.completed == len(trace.requests)
    assert figures.gateway_evictions == sum(served.evictions for served in result.served) > 0
    assert 0.0 < figures.discarded_tokens < 1.0
    assert figures.as_json()["gateway_evictions"] == figures.gateway_evictions
    assert "evicted" in frontier_table([figures])


def test_amax_never_does():
    trace, engine = unsure()
    assert run_figures(run(trace, engine, "amax")).gateway_evictions == 0


def test_a_deadline_counts_from_arrival():
    judged = DeadlineSettings(refuse_below=0.9)
    result = run(
        a_trace(a_request("quick", deadline_s=1.2), a_request("late", 0.1, deadline_s=1.2)),
        an_engine(),
        deadlines=judged,
    )
    quick, late = result.served
    assert quick.last_at == pytest.approx(1.0, abs=0.01)
    assert late.refusal is not None
    assert late.refusal.probability is not None
    assert (late.failure or "").startswith("deadline-unreachable")


def test_a_client_that_obeys_retry_after_is_taken_later():
    requests = [a_request(f"r{number}", 0.02 * number) for number in range(6)]
    limit = OverloadSettings(max_backlog_s=3.0)
    refused = run(a_trace(*requests), an_engine(), overload=limit)
    assert [served.num_refusals for served in refused.served].count(1) >= 2
    obeyed = run(a_trace(*requests), an_engine(), retries=1, overload=limit)
    assert all(served.last_at is not None for served in obeyed.served)
    assert max(served.num_refusals for served in obeyed.served) == 1


def test_a_flood_does_not_delay_the_other_tenant():
    flood = [a_request(f"a{number}", tenant="a") for number in range(20)]
    trace = a_trace(*flood, a_request("b", 0.5, tenant="b"))
    shared = run(trace, an_engine(), tenants=TenantSettings())
    alone = run(trace, an_engine())
    assert shared.served[-1].last_at == pytest.approx(2.0, abs=0.05)
    assert alone.served[-1].last_at == pytest.approx(21.0, abs=0.2)


def test_a_wait_is_predicted_when_the_prediction_is_there():
    result = run(a_trace(a_request("one"), a_request("two", 0.1)), an_engine())
    one, two = result.served
    assert one.eta_s is None
    assert two.known_at == pytest.approx(0.11)
    assert (two.eta_s or 0.0) > 0.9
