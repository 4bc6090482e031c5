"""The engine's report is cut to the run: priming before it and silence after it do not count."""

from __future__ import annotations

import pytest

from sagesched_emulator.demo.emulated_triton import engine_seen
from sagesched_emulator.engine_report import EngineReport, EngineSample


def a_sample(t: float, queued: int) -> EngineSample:
    return EngineSample(t=t, running=9, scheduled=8, queued=queued, paused=0, used_blocks=1, free_blocks=1)


def test_engine_seconds_become_unix_seconds() -> None:
    report = EngineReport(
        iterations=100,
        late_p50_s=0.0,
        late_p99_s=0.0,
        late_share=0.0,
        valid=True,
        busy_s=6.0,
        span_s=9.0,
        busy_share=0.67,
        evictions=0,
        queue_wait_iterations_p50=0.0,
        queue_wait_iterations_p99=0.0,
        mean_running=8.0,
        time_scale=0.5,
        started_unix_s=1000.0,
        samples=[a_sample(0.5, 99), a_sample(2.0, 10), a_sample(6.0, 0)],
    )
    seen = engine_seen(report, started_at=1001.0, ended_at=1005.0)  # engine seconds 2 to 10
    assert seen.mean_queue == pytest.approx(10 * 4 / 8)
    assert seen.busy == pytest.approx(6 / 8)
