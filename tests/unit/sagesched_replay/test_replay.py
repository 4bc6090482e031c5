"""Replay: the product's scheduler and the emulated engine in virtual time, small traces worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.step_time import StepTime
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_gateway.scheduling.events import CapacityChanged, Event, Predicted, Submitted
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor import LengthDistribution
from sagesched_replay.knowledge import Ignorance, OtherAnswers
from sagesched_replay.replay import ReplayRun, ReplaySettings, Served, replay
from sagesched_replay.report import run_figures

HOP_S = 0.001


def an_engine(
    *, slots: int = 1, step_s: float = 1.0, blocks: int = 1000, max_num_tokens: int = 1000
) -> EngineProfile:
    return EngineProfile(
        name="tiny",
        step_time=StepTime(step_s, 0.0, 0.0, 0.0),
        max_batch_size=slots,
        max_num_tokens=max_num_tokens,
        kv_blocks=blocks,
        block_tokens=4,
    )


def a_request(
    name: str, arrival_s: float = 0.0, output: int = 3, prompt: int = 4, known: int | None = None
) -> TraceRequest:
    return TraceRequest(
        id=name,
        prompt=f"prompt of {name}",
        prompt_tokens=prompt,
        max_tokens=100,
        arrival_s=arrival_s,
        output_tokens=output,
        known=None if known is None else LengthDistribution.point(known),
    )


def a_trace(*requests: TraceRequest) -> Trace:
    return Trace(requests=requests, rho=1.0, seed=0, span_s=requests[-1].arrival_s)


def run(
    trace: Trace,
    engine: EngineProfile,
    policy: str,
    *,
    stream_interval: int = 1,
    kv_headroom_iterations: float | None = None,
) -> ReplayRun:
    settings = ReplaySettings(
        policy=PolicySettings(name=policy),
        hop_s=HOP_S,
        stream_interval=stream_interval,
        kv_headroom_iterations=kv_headroom_iterations,
    )
    return replay(trace, engine, settings, OtherAnswers())


def by_name(result: ReplayRun) -> dict[str, Served]:
    return {served.request.id: served for served in result.served}


def finish_order(result: ReplayRun) -> list[str]:
    return [served.request.id for served in sorted(result.served, key=lambda served: served.last_at or 0.0)]


def random_trace(num: int = 120, gap_s: float = 4.0) -> Trace:
    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(gap_s, num))
    lengths = np.maximum(1, rng.lognormal(3.0, 0.8, num).astype(int))
    return a_trace(
        *(
            replace(
                a_request(
                    f"r{i}", float(arrivals[i]), int(lengths[i]), int(rng.integers(1, 20)), int(lengths[i])
                ),
                max_tokens=400,
            )
            for i in range(num)
        )
    )


def overload() -> tuple[Trace, EngineProfile]:
    """More requests than the engine's KV cache can serve; its slots are not what is scarce."""
    return random_trace(400, gap_s=0.8), an_engine(slots=64, blocks=120)


def test_direct_is_the_engine_alone() -> None:
    (served,) = run(a_trace(a_request("a", arrival_s=2.0)), an_engine(), "direct").served
    assert (served.started_at, served.first_at, served.last_at) == (2.0, 3.0, 5.0)


def test_the_gateway_adds_one_hop_each_way() -> None:
    (served,) = run(a_trace(a_request("a", arrival_s=2.0)), an_engine(), "fcfs").served
    assert served.started_at == 2.0
    assert served.first_at == pytest.approx(3.0 + 2 * HOP_S)
    assert served.last_at == pytest.approx(5.0 + 2 * HOP_S)


def test_coarser_streaming_delays_no_first_and_no_last_token() -> None:
    trace = a_trace(a_request("a", output=20))
    fine, coarse = (
        run(trace, an_engine(), "fcfs", stream_interval=interval).served[0] for interval in (1, 16)
    )
    assert fine == coarse


def test_an_order_by_length_lets_the_short_go_first() -> None:
    trace = a_trace(
        a_request("first", 0.0, output=5, known=5),
        a_request("long", 0.5, output=50, known=50),
        a_request("short", 0.6, output=2, known=2),
    )
    assert finish_order(run(trace, an_engine(), "fcfs")) == ["first", "long", "short"]
    for policy in ("ssjf", "sagesched"):
        assert finish_order(run(trace, an_engine(), policy)) == ["first", "short", "long"]


def test_everybody_is_served_by_every_policy() -> None:
    trace = random_trace()
    for policy in ("direct", "fcfs", "ssjf", "sagesched", "gittins-boost"):
        result = run(trace, an_engine(slots=4, blocks=120), policy, stream_interval=16)
        assert all(served.last_at is not None and served.failure is None for served in result.served)
        assert all(
            served.request.arrival_s
            <= (served.started_at or 0)
            < (served.first_at or 0)
            <= (served.last_at or 0)
            for served in result.served
        )
        assert result.busy_s <= result.ended_at


def test_a_run_ends_with_its_last_token_whatever_was_planned_for_later() -> None:
    trace = a_trace(*(replace(a_request(name), deadline_s=3600.0) for name in ("one", "two", "three")))
    result = run(trace, an_engine(), "fcfs")
    assert result.ended_at == max(served.last_at or 0.0 for served in result.served)
    assert run_figures(result).utilisation > 0.9


def test_the_same_trace_gives_the_same_run() -> None:
    trace, engine = random_trace(), an_engine(slots=4, blocks=120)
    assert run(trace, engine, "gittins-boost") == run(trace, engine, "gittins-boost")


def test_first_come_first_served_is_as_good_as_no_gateway() -> None:
    trace, engine = overload()

    def mean(policy: str) -> float:
        result = run(trace, engine, policy)
        return float(np.mean([(s.last_at or 0.0) - s.request.arrival_s for s in result.served]))

    assert mean("fcfs") == pytest.approx(mean("direct"), rel=0.1)


def test_the_engine_queue_stays_empty_while_requests_wait_in_the_gateway() -> None:
    trace, engine = overload()
    direct = run(trace, engine, "direct")
    through = run(trace, engine, "fcfs", kv_headroom_iterations=2.0)
    assert max(iterations for _, iterations in direct.engine_waits) > 100
    assert through.backlog_s > 100
    assert through.backlog_batch > 0.97 * direct.backlog_batch
    assert np.quantile([iterations for _, iterations in through.engine_waits], 0.99) <= 2


def test_a_request_that_never_fits_is_told_so() -> None:
    trace = a_trace(a_request("big", prompt=2000), a_request("small", 1.0))
    for policy in ("direct", "fcfs"):
        served = by_name(run(trace, an_engine(), policy))
        assert served["big"].last_at is None
        assert "2000" in (served["big"].failure or "")
        assert served["small"].last_at is not None


def test_prompts_beyond_the_prefill_budget_wait_and_are_served() -> None:
    engine = an_engine(slots=8, max_num_tokens=100, blocks=10_000)
    trace = a_trace(*(a_request(f"r{i}", prompt=90) for i in range(6)))
    assert all(served.last_at is not None for served in run(trace, engine, "fcfs").served)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Event, float]]:
    """Events that the scheduler gets, with their instants."""
    events: list[tuple[Event, float]] = []
    handle = Scheduler.handle

    def recorded(self: Scheduler, event: Event, now: float) -> list[object]:
        events.append((event, now))
        return handle(self, event, now)  # type: ignore[return-value]

    monkeypatch.setattr(Scheduler, "handle", recorded)
    return events


def test_nothing_derived_from_the_true_length_reaches_the_scheduler(seen: list[tuple[Event, float]]) -> None:
    def told_before_answers(output: int) -> list[tuple[Event, float]]:
        seen.clear()
        trace = a_trace(*(a_request(f"r{i}", 0.01 * i, output=output + i, known=7) for i in range(5)))
        run(trace, an_engine(step_s=1.0), "gittins-boost")
        return [(event, at) for event, at in seen if isinstance(event, Submitted | Predicted)]

    assert told_before_answers(output=2) == told_before_answers(output=40)


def test_a_prediction_comes_after_its_request(seen: list[tuple[Event, float]]) -> None:
    run(a_trace(a_request("a", 1.0, known=7)), an_engine(), "ssjf")
    (submitted_at,) = [at for event, at in seen if isinstance(event, Submitted)]
    ((predicted, predicted_at),) = [(event, at) for event, at in seen if isinstance(event, Predicted)]
    assert predicted.distribution == LengthDistribution.point(7)
    assert (submitted_at, predicted_at) == (1.0, pytest.approx(1.01))


def test_who_knows_nothing_predicts_nothing(seen: list[tuple[Event, float]]) -> None:
    settings = ReplaySettings(policy=PolicySettings(name="sagesched"))
    replay(a_trace(a_request("a", known=7)), an_engine(), settings, Ignorance())
    assert not any(isinstance(event, Predicted) for event, _ in seen)


def test_the_scheduler_learns_how_fast_the_engine_really_is(seen: list[tuple[Event, float]]) -> None:
    engine = EngineProfile(
        name="slows-down",
        step_time=StepTime(0.01, 0.02, 0.0, 0.0),
        max_batch_size=8,
        max_num_tokens=1000,
        kv_blocks=1000,
        block_tokens=4,
    )
    run(a_trace(a_request("a", output=90)), engine, "fcfs")  # told 170 ms, as if full; it takes 30 ms
    told = [event.capacity.iteration_s for event, _ in seen if isinstance(event, CapacityChanged)]
    assert len(told) > 3
    assert told == sorted(told, reverse=True)
    assert 0.03 < told[-1] < 0.1


def test_progress_is_reported_once_per_request() -> None:
    done: list[None] = []
    settings = ReplaySettings(policy=PolicySettings(name="fcfs"))
    replay(random_trace(20), an_engine(slots=4), settings, Ignorance(), lambda: done.append(None))
    assert len(done) == 20


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown policy 'fastest'"):
        run(a_trace(a_request("a")), an_engine(), "fastest")
