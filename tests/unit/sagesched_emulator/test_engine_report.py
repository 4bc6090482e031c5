from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_emulator.engine_report import (
    EngineReport,
    EngineRequest,
    Quantiles,
    ReportWriter,
    quantile,
    requests_path,
)
from sagesched_emulator.iteration import EngineStatistics, Iteration


def an_iteration(started_at: float, duration_s: float = 0.010, **statistics: int) -> Iteration:
    gauges = {
        "num_active": 3,
        "num_scheduled": 2,
        "num_queued": 4,
        "num_context": 0,
        "num_generation": 2,
        "num_paused": 0,
        "used_blocks": 5,
        "free_blocks": 95,
        "max_blocks": 100,
        "block_tokens": 32,
        "iteration": 1,
        "evictions": 0,
        **statistics,
    }
    return Iteration(
        started_at=started_at,
        ended_at=started_at + duration_s,
        emissions=[],
        statistics=EngineStatistics(busy_s=0.0, **gauges),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


@pytest.fixture
def writer(path: Path) -> ReportWriter:
    return ReportWriter(path, time_scale=0.5)


def report_of(writer: ReportWriter, path: Path) -> EngineReport:
    writer.write()
    return EngineReport.load(path)


def test_empty_report_is_valid_and_zero(writer: ReportWriter, path: Path) -> None:
    report = report_of(writer, path)
    assert report.valid
    assert (report.iterations, report.busy_share, report.samples, report.requests) == (0, 0.0, [], [])


def test_shares_and_means_are_weighted_by_time(writer: ReportWriter, path: Path) -> None:
    writer.iteration(an_iteration(1.0, 0.010, num_scheduled=1), 0.0)
    writer.iteration(an_iteration(1.070, 0.030, num_scheduled=5, evictions=2), 0.0)
    report = report_of(writer, path)
    assert report.span_s == pytest.approx(0.100)
    assert report.busy_share == pytest.approx(0.4)
    assert report.mean_running == pytest.approx((1 * 0.010 + 5 * 0.030) / 0.040)
    assert (report.iterations, report.evictions, report.time_scale) == (2, 2, 0.5)


def test_late_means_later_than_an_iteration_and_five_milliseconds_of_wall_time(
    writer: ReportWriter, path: Path
) -> None:
    writer.iteration(an_iteration(0.0, 0.010), late_s=0.0099)  # allowed: 10 ms x 0.5 + 5 ms
    writer.iteration(an_iteration(0.0, 0.010), late_s=0.0101)
    assert report_of(writer, path).late_share == pytest.approx(0.5)


def test_few_late_iterations_are_tolerated(writer: ReportWriter, path: Path) -> None:
    for number in range(1000):
        writer.iteration(an_iteration(number * 0.01), late_s=0.030 if number < 19 else 0.001)
    report = report_of(writer, path)
    assert report.valid
    assert report.why_invalid() == ""


def test_two_percent_late_makes_a_run_invalid(writer: ReportWriter, path: Path) -> None:
    for number in range(1000):
        writer.iteration(an_iteration(number * 0.01), late_s=0.030 if number < 20 else 0.001)
    report = report_of(writer, path)
    assert not report.valid
    assert "2.0% of the engine's iterations ended late" in report.why_invalid()


def test_one_percent_very_late_makes_a_run_invalid(writer: ReportWriter, path: Path) -> None:
    for number in range(1000):
        writer.iteration(an_iteration(number * 0.01), late_s=0.100 if number < 11 else 0.001)
    assert not report_of(writer, path).valid


def test_iteration_without_duration_is_not_counted(writer: ReportWriter, path: Path) -> None:
    writer.iteration(an_iteration(0.0, 0.0), late_s=9.0)
    assert report_of(writer, path).iterations == 0


def test_samples_are_a_tenth_of_a_second_apart(writer: ReportWriter, path: Path) -> None:
    for number in range(100):
        writer.iteration(an_iteration(number * 0.01), 0.0)
    samples = report_of(writer, path).samples
    assert len(samples) == 10
    assert samples[0].t == pytest.approx(0.01)
    assert (samples[0].running, samples[0].scheduled, samples[0].queued) == (3, 2, 5)


def test_idle_engine_is_noted_as_empty(writer: ReportWriter, path: Path) -> None:
    writer.iteration(an_iteration(0.0), 0.0)
    writer.idle(0.01, max_blocks=100)
    last = report_of(writer, path).samples[-1]
    assert (last.t, last.running, last.queued, last.free_blocks) == (0.01, 0, 0, 100)


def test_requests_and_queue_waits(writer: ReportWriter, path: Path) -> None:
    request = EngineRequest(
        order=0,
        id="a",
        submitted_at=1.0,
        first_scheduled_at=1.5,
        queue_iterations=4,
        finished_at=3.0,
        prompt_tokens=10,
        max_tokens=100,
        output_tokens=20,
        stopped=False,
    )
    for wait_iterations in (0, 0, 4):
        writer.started(wait_iterations)
    writer.finished(request)
    report = report_of(writer, path)
    assert report.requests == [request]
    assert (report.queue_wait_iterations_p50, report.queue_wait_iterations_p99) == (0, 4)


def test_writing_again_adds_what_is_new(writer: ReportWriter, path: Path) -> None:
    writer.iteration(an_iteration(0.0), 0.0)
    writer.write()
    writer.iteration(an_iteration(1.0), 0.0)
    report = report_of(writer, path)
    assert [sample.t for sample in report.samples] == pytest.approx([0.01, 1.01])
    assert report.iterations == 2


def test_half_written_line_is_left_for_later(writer: ReportWriter, path: Path) -> None:
    writer.write()
    requests_path(path).write_text('{"order": 0, "id"')
    assert EngineReport.load(path).requests == []


def test_foreign_file_is_refused(path: Path) -> None:
    path.write_text('{"iterations": 3}')
    with pytest.raises(ValueError, match="not a report"):
        EngineReport.load(path)


@given(st.lists(st.floats(1e-6, 100.0), min_size=1), st.floats(0.01, 1.0))
def test_quantiles_are_exact_within_two_percent(durations: list[float], q: float) -> None:
    quantiles = Quantiles()
    for duration in durations:
        quantiles.add(duration)
    needed = next(rank for rank in range(1, len(durations) + 1) if rank >= q * len(durations) - 1e-9)
    exact = sorted(durations)[needed - 1]
    assert exact * (1 - 1e-9) - 1e-6 <= quantiles.quantile(q) <= exact * 1.0201 + 1e-6


def test_quantile_of_counts() -> None:
    counts = {0: 98, 5: 1, 9: 1}
    assert [quantile(counts, q) for q in (0.5, 0.98, 0.99, 1.0)] == [0, 0, 5, 9]
    assert quantile({}, 0.5) == 0
