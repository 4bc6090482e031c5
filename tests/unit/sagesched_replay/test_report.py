"""Figures of a replayed run, and how they are told."""

import json
import math

import pytest

from sagesched_emulator.trace import TraceRequest
from sagesched_replay.replay import ReplayRun, Served
from sagesched_replay.report import frontier_table, run_figures


def served(
    arrival_s: float, first_at: float | None, last_at: float | None, failure: str | None = None
) -> Served:
    request = TraceRequest(
        id=str(arrival_s), prompt="p", prompt_tokens=1, max_tokens=9, arrival_s=arrival_s, output_tokens=1
    )
    return Served(request=request, started_at=arrival_s, first_at=first_at, last_at=last_at, failure=failure)


def a_run(*requests: Served, policy: str = "fcfs", busy_s: float = 6.0, ended_at: float = 13.0) -> ReplayRun:
    return ReplayRun(
        policy=policy,
        served=requests,
        evictions=4,
        busy_s=busy_s,
        ended_at=ended_at,
        engine_waits=((0.0, 0), (0.1, 2)),
        backlog_s=3.0,
        backlog_batch=2.5,
        backlog_kv=0.8,
        backlog_tokens_per_s=100.0,
    )


def test_figures_are_taken_from_arrival() -> None:
    figures = run_figures(a_run(served(1.0, 2.0, 4.0), served(3.0, 6.0, 12.0)))
    assert figures.mean_ttlt_s == 6.0
    assert figures.p50_ttlt_s == 6.0
    assert figures.p99_ttlt_s == pytest.approx(3.0 + 0.99 * 6.0)
    assert figures.mean_ttft_s == 2.0
    assert figures.utilisation == 6.0 / 12.0
    assert figures.engine_wait_p99_iterations == pytest.approx(1.98)
    assert (figures.evictions, figures.completed, figures.failed) == (4, 2, 0)


def test_failed_requests_are_counted_and_left_out_of_latencies() -> None:
    figures = run_figures(a_run(served(1.0, 2.0, 4.0), served(3.0, None, None, "never-fits: too long")))
    assert (figures.completed, figures.failed) == (1, 1)
    assert figures.mean_ttlt_s == 3.0


def test_a_run_without_an_answer_has_null_latencies_in_json() -> None:
    figures = run_figures(a_run(served(3.0, None, None, "no")))
    assert math.isnan(figures.mean_ttlt_s)
    fields = json.loads(json.dumps(figures.as_json(), allow_nan=False))
    assert fields["mean_ttlt_s"] is None
    assert fields["policy"] == "fcfs"


def test_the_table_gives_ratios_to_fcfs() -> None:
    slow, fast = served(0.0, 1.0, 8.0), served(0.0, 1.0, 2.0)
    table = frontier_table([run_figures(a_run(fast, policy="ssjf")), run_figures(a_run(slow, policy="fcfs"))])
    row = next(line for line in table.splitlines() if line.startswith("ssjf"))
    assert row.split()[-2:] == ["0.250", "0.250"]
    assert "/ fcfs" in table


def test_without_fcfs_ratios_are_to_the_first_run() -> None:
    table = frontier_table([run_figures(a_run(served(0.0, 1.0, 8.0), policy="direct"))])
    assert "/ direct" in table
    assert table.splitlines()[-1].split()[-2:] == ["1.000", "1.000"]
