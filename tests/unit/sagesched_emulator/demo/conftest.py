"""Builders of trials: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sagesched_emulator.demo.stand import EngineSeen
from sagesched_emulator.demo.trial import Trial
from sagesched_emulator.engine_report import EngineReport
from sagesched_emulator.figures import figures
from sagesched_emulator.load_result import LoadResult, RequestTiming

MakeTrial = Callable[..., Trial]


def an_engine(*, busy: float = 0.9, starved: bool = False, mean_queue: float = 4.0) -> EngineSeen:
    report = EngineReport(
        iterations=1000,
        late_p50_s=0.0005,
        late_p99_s=0.2 if starved else 0.001,
        late_share=0.1 if starved else 0.0,
        valid=not starved,
        busy_s=9.0,
        span_s=10.0,
        busy_share=busy,
        evictions=3,
        queue_wait_iterations_p50=0.0,
        queue_wait_iterations_p99=1.0,
        mean_running=40.0,
        time_scale=1.0,
        started_unix_s=90.0,
    )
    return EngineSeen(mean_queue=mean_queue, busy=busy, report=report)


def make_trial(
    name: str = "direct",
    *,
    ttlt_s: Sequence[float] = (2.0, 4.0),
    errors: Sequence[str] = (),
    time_scale: float = 1.0,
    engine: EngineSeen | None = None,
    starved: bool = False,
    late_s: float = 0.0,
    emulated: bool = True,
) -> Trial:
    timings = [
        RequestTiming(id=f"r{n}", due_at=0.0, sent_at=0.0, first_at=wall / 2, last_at=wall, num_chunks=5)
        for n, wall in enumerate(seconds * time_scale for seconds in ttlt_s)
    ] + [RequestTiming(id=f"e{n}", due_at=0.0, sent_at=0.0, error=error) for n, error in enumerate(errors)]
    load = LoadResult(started_at=100.0, ended_at=110.0, timings=timings, send_late_p99_s=late_s)
    return Trial(
        name=name,
        time_scale=time_scale,
        figures=figures(timings, time_scale),
        load=load,
        mean_queue=4.0 if emulated else None,
        engine=(engine or an_engine(starved=starved)) if emulated else None,
    )


@pytest.fixture
def a_trial() -> MakeTrial:
    return make_trial
