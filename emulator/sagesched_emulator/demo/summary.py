"""`summary.json`: the figures of a demo for machines. PURE but for the one write."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sagesched_emulator.demo.trial import Trial
from sagesched_emulator.figures import ratio


def summary(trace: Mapping[str, object], trials: Sequence[Trial]) -> dict[str, object]:
    """The whole summary; nan and what is not known become null.

    Args:
        trace: what was sent.
        trials: the runs, the first of which the ratios refer to.
    """
    return {"trace": dict(trace), "runs": [_run(trial, trials[0]) for trial in trials]}


def write_summary(path: Path, content: Mapping[str, object]) -> None:
    """Write as indented JSON; the folder must exist."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _run(trial: Trial, base: Trial) -> dict[str, object]:
    f = trial.figures
    fields: dict[str, object] = {
        "name": trial.name,
        "policy": trial.policy,
        "sent": f.sent,
        "completed": f.completed,
        "failed": f.failed,
        "mean_ttlt_s": f.mean_ttlt_s,
        "p50_ttlt_s": f.p50_ttlt_s,
        "p95_ttlt_s": f.p95_ttlt_s,
        "p99_ttlt_s": f.p99_ttlt_s,
        "mean_ttft_s": f.mean_ttft_s,
        "p99_ttft_s": f.p99_ttft_s,
        "mean_queue": trial.mean_queue,
        "engine_busy": trial.engine.busy if trial.engine else None,
        "p50_ttft_s": f.p50_ttft_s,
        "p95_ttft_s": f.p95_ttft_s,
        "mean_ttlt_ratio": ratio(f.mean_ttlt_s, base.figures.mean_ttlt_s),
        "p99_ttlt_ratio": ratio(f.p99_ttlt_s, base.figures.p99_ttlt_s),
        "chunks": sum(timing.num_chunks for timing in trial.load.timings),
        "client_late_p99_s": trial.load.late_p99_s,
        "errors": sorted({timing.error for timing in trial.load.timings if timing.error}),
    }
    if trial.engine is not None:
        report = trial.engine.report
        fields |= {
            "engine_late_p99_s": report.late_p99_s,
            "engine_evictions": report.evictions,
            "engine_queue_wait_iterations_p99": report.queue_wait_iterations_p99,
            "mean_running": report.mean_running,
        }
    return {name: _rounded(value) for name, value in fields.items()}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
