from __future__ import annotations

import queue

import pytest

from sagesched_emulator.engine import Engine
from sagesched_emulator.profiles import profile
from sagesched_emulator.wall_clock import EngineLoop, PacedEngine, StopRequest, Submission, Tick, WallClock

STEP = profile("slot-bound").step_time
LONE_PROMPT_S = STEP.seconds(1, 0, 10)  # an iteration that prefills ten tokens and does nothing else
WAIT_S = 20.0


def a_submission(
    at: float, request_id: str = "r", output_tokens: int = 1, prompt_tokens: int = 10
) -> Submission:
    return Submission(at, request_id, prompt_tokens, 2048, output_tokens)


@pytest.fixture
def paced() -> PacedEngine:
    return PacedEngine(Engine(profile("slot-bound")))


def test_scaled_clock_counts_engine_seconds() -> None:
    wall = iter([100.0, 100.5, 103.0])
    clock = WallClock(0.5, monotonic=lambda: next(wall))
    assert clock.now() == pytest.approx(1.0)
    assert clock.now() == pytest.approx(6.0)
    assert clock.wall_s(2.0) == pytest.approx(1.0)
    assert clock.wall_ns(6.0) == pytest.approx(103.0e9)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_scale_must_be_above_zero(scale: float) -> None:
    with pytest.raises(ValueError, match="time_scale"):
        WallClock(scale)


def test_idle_engine_has_nothing_due(paced: PacedEngine) -> None:
    assert paced.advance(5.0) == Tick()


def test_iteration_starts_at_the_arrival_however_late_it_is_seen(paced: PacedEngine) -> None:
    paced.post(a_submission(at=1.0))
    tick = paced.advance(1.5)
    assert tick.due_at == pytest.approx(1.0 + LONE_PROMPT_S)
    assert [(started.request_id, started.wait_s, started.wait_iterations) for started in tick.started] == [
        ("r", 0.0, 0)
    ]


def test_iteration_ends_when_its_time_has_come(paced: PacedEngine) -> None:
    paced.post(a_submission(at=1.0))
    due_at = paced.advance(1.0).due_at
    assert due_at is not None
    early = paced.advance(due_at - 1e-6)
    assert (early.due_at, early.finished) == (due_at, None)
    tick = paced.advance(due_at)
    assert tick.finished is not None
    assert [(emission.request_id, emission.final) for emission in tick.finished.emissions] == [("r", True)]
    assert tick.due_at is None


def test_schedule_is_absolute_after_a_late_look(paced: PacedEngine) -> None:
    paced.post(a_submission(at=0.0, output_tokens=3))
    first = paced.advance(0.0).due_at
    assert first is not None
    second = paced.advance(first + 0.004)  # 4 ms late
    assert second.due_at == pytest.approx(first + STEP.seconds(1, 11, 0))


def test_arrival_during_an_iteration_waits_for_the_next(paced: PacedEngine) -> None:
    paced.post(a_submission(at=0.0, output_tokens=5))
    boundary = paced.advance(0.0).due_at
    assert boundary is not None
    paced.post(a_submission(at=boundary - 0.001, request_id="in time"))
    paced.post(a_submission(at=boundary + 0.001, request_id="too late"))
    tick = paced.advance(boundary + 0.002)  # both are known by now, one has missed the iteration
    assert [started.request_id for started in tick.started] == ["in time"]
    assert tick.started[0].wait_s == pytest.approx(0.001)
    assert tick.due_at is not None
    assert [started.request_id for started in paced.advance(tick.due_at).started] == ["too late"]


def test_refusal_names_the_reason_and_does_not_stop_the_others(paced: PacedEngine) -> None:
    paced.post(a_submission(at=0.0, request_id="huge", prompt_tokens=9000))
    paced.post(a_submission(at=0.0, request_id="fine"))
    tick = paced.advance(0.0)
    assert [(request_id, "max_num_tokens" in reason) for request_id, reason in tick.refused] == [
        ("huge", True)
    ]
    assert [started.request_id for started in tick.started] == ["fine"]


def test_lone_refusal_leaves_the_engine_idle(paced: PacedEngine) -> None:
    paced.post(a_submission(at=0.0, prompt_tokens=9000))
    tick = paced.advance(0.0)
    assert (len(tick.refused), tick.due_at) == (1, None)


def test_stop_ends_a_running_request(paced: PacedEngine) -> None:
    paced.post(a_submission(at=0.0, output_tokens=1000))
    due_at = paced.advance(0.0).due_at
    assert due_at is not None
    paced.post(StopRequest(due_at / 2, "r"))
    stopping = paced.advance(due_at)
    assert stopping.due_at == due_at  # nothing is left to run
    tick = paced.advance(due_at)
    assert tick.finished is not None
    assert [(e.request_id, e.final, e.stopped) for e in tick.finished.emissions] == [("r", True, True)]
    assert tick.due_at is None


def test_waits_are_given_to_the_right_requests_when_a_queued_one_is_stopped(paced: PacedEngine) -> None:
    slots = profile("slot-bound").max_batch_size
    for number in range(slots + 2):
        paced.post(a_submission(at=0.0, request_id=str(number), output_tokens=2 if number == 0 else 50))
    due_at = paced.advance(0.0).due_at
    assert due_at is not None
    paced.post(StopRequest(0.0, str(slots)))  # the first of the two that wait
    started: list[str] = []
    while not started:
        tick = paced.advance(due_at)
        started = [entry.request_id for entry in tick.started]
        assert tick.due_at is not None
        due_at = tick.due_at
    assert started == [str(slots + 1)]


def test_loop_delivers_and_reports_lateness() -> None:
    ticks: queue.Queue[tuple[Tick, float]] = queue.Queue()
    clock = WallClock(0.01)
    loop = EngineLoop(Engine(profile("slot-bound")), clock, lambda tick, late_s: ticks.put((tick, late_s)))
    loop.post(a_submission(at=clock.now(), output_tokens=2))
    emissions = []
    while len(emissions) < 2:
        tick, late_s = ticks.get(timeout=WAIT_S)
        assert late_s >= 0.0
        emissions += tick.finished.emissions if tick.finished else []
    loop.close()
    assert [emission.total_tokens for emission in emissions] == [1, 2]


def test_idle_loop_closes() -> None:
    EngineLoop(Engine(profile("slot-bound")), WallClock(1.0), lambda tick, late_s: None).close()
