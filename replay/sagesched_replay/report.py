"""Figures of replayed runs, as JSON and as a table for people.

TTLT is arrival to last token, TTFT arrival to first token, both over complete answers; percentiles
interpolate between order statistics. `utilisation` is the share of time, from the first arrival to the last
token, that the engine spent in iterations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sagesched_emulator.figures import figures, ratio
from sagesched_emulator.load_result import RequestTiming
from sagesched_replay.replay import ReplayRun, Served


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """One run in numbers; nan where no answer is complete.

    Attributes:
        policy: its name.
        completed: complete answers.
        failed: requests without one.
        mean_ttlt_s: mean time to last token.
        p50_ttlt_s: its median.
        p95_ttlt_s: its 95th percentile.
        p99_ttlt_s: its 99th percentile.
        mean_ttft_s: mean time to first token.
        p99_ttft_s: its 99th percentile.
        evictions: sequences that lost their cache because KV ran out: the engine's own pauses.
        gateway_evictions: requests that the gateway cancelled to start them again.
        discarded_tokens: output tokens generated in vain, over those that clients received.
        utilisation: share of time that the engine was busy.
        engine_wait_p99_iterations: 99th percentile of iterations that ran while a request sat in the
            engine's own queue.
        backlog_batch: mean running sequences while requests waited.
        backlog_kv: mean share of KV blocks in use while requests waited.
    """

    policy: str
    completed: int
    failed: int
    mean_ttlt_s: float
    p50_ttlt_s: float
    p95_ttlt_s: float
    p99_ttlt_s: float
    mean_ttft_s: float
    p99_ttft_s: float
    evictions: int
    gateway_evictions: int
    discarded_tokens: float
    utilisation: float
    engine_wait_p99_iterations: float
    backlog_batch: float
    backlog_kv: float

    def as_json(self) -> dict[str, object]:
        """Plain fields; nan becomes None, which JSON can carry."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def run_figures(run: ReplayRun, warmup: int = 0) -> RunFigures:
    """Figures of a replayed run; the first `warmup` requests count in none of the latencies."""
    counted = run.served[warmup:]
    latencies = figures([_timing(served) for served in counted], time_scale=1.0)
    began_at = min(served.request.arrival_s for served in run.served)
    waits = [iterations for _, iterations in run.engine_waits]
    return RunFigures(
        policy=run.policy,
        completed=latencies.completed,
        failed=latencies.failed,
        mean_ttlt_s=latencies.mean_ttlt_s,
        p50_ttlt_s=latencies.p50_ttlt_s,
        p95_ttlt_s=latencies.p95_ttlt_s,
        p99_ttlt_s=latencies.p99_ttlt_s,
        mean_ttft_s=latencies.mean_ttft_s,
        p99_ttft_s=latencies.p99_ttft_s,
        evictions=run.evictions,
        gateway_evictions=sum(served.evictions for served in run.served),
        discarded_tokens=ratio(
            sum(served.discarded_tokens for served in run.served),
            sum(served.request.output_tokens for served in run.served if served.last_at is not None),
        ),
        utilisation=ratio(run.busy_s, (run.ended_at - began_at) * run.replicas),
        engine_wait_p99_iterations=float(np.quantile(waits, 0.99)) if waits else math.nan,
        backlog_batch=run.backlog_batch,
        backlog_kv=run.backlog_kv,
    )


def frontier_table(runs: Sequence[RunFigures]) -> str:
    """A table of runs on one trace; the ratios are to `fcfs` where it ran, else to the first run."""
    base = next((run for run in runs if run.policy == "fcfs"), runs[0])
    heading = (
        f"{'policy':14} {'mean':>8} {'p50':>8} {'p95':>8} {'p99':>8} {'TTFT':>8} {'TTFT p99':>8} "
        f"{'paused':>8} {'evicted':>8} {'busy':>6}   mean and p99 / {base.policy}"
    )
    return "\n".join(["TTLT and TTFT in seconds", heading] + [_row(run, base) for run in runs])


def _row(run: RunFigures, base: RunFigures) -> str:
    mean, p99 = ratio(run.mean_ttlt_s, base.mean_ttlt_s), ratio(run.p99_ttlt_s, base.p99_ttlt_s)
    failed = f"   {run.failed} failed" if run.failed else ""
    return (
        f"{run.policy:14} {run.mean_ttlt_s:8.2f} {run.p50_ttlt_s:8.2f} {run.p95_ttlt_s:8.2f} "
        f"{run.p99_ttlt_s:8.2f} {run.mean_ttft_s:8.2f} {run.p99_ttft_s:8.2f} {run.evictions:8} "
        f"{run.gateway_evictions:8} {run.utilisation:6.1%}   {mean:.3f} {p99:.3f}{failed}"
    )


def _timing(served: Served) -> RequestTiming:
    """A replayed request as a load client would have noted it."""
    unanswered = None if served.last_at is not None else served.failure or "no answer"
    return RequestTiming(
        id=served.request.id,
        due_at=served.request.arrival_s,
        sent_at=served.request.arrival_s,
        first_at=served.first_at,
        last_at=served.last_at,
        error=unanswered,
    )
