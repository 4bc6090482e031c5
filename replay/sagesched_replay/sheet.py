"""The table of a study, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sagesched_replay.paired import FEWEST_SEEDS, Ratio
from sagesched_replay.study import Row, Variant
from sagesched_replay.tenants import tenant_table

NOISE = "~"


def labels(variants: Sequence[Variant]) -> list[str]:
    """Short names: the policy, and whatever else is not the same for all."""
    weights = {variant.tail_weight for variant in variants} - {None}
    replicas = {variant.replicas for variant in variants}
    balancers = {variant.balancer for variant in variants if variant.replicas > 1}
    names = []
    for variant in variants:
        parts = [variant.policy.name]
        if len(weights) > 1 and variant.tail_weight is not None:
            parts.append(f"c={variant.tail_weight:g}")
        if replicas != {1}:
            parts.append(f"x{variant.replicas}")
        if len(balancers) > 1 and variant.replicas > 1:
            parts.append(str(variant.balancer))
        names.append(" ".join(parts))
    return names


def table(rows: Sequence[Row]) -> str:
    """A line per variant: mean over seeds, and ratios to the base with their 95 % intervals."""
    names = labels([row.variant for row in rows])
    base = next(name for name, row in zip(names, rows, strict=True) if row.is_base)
    width = max(14, *(len(name) for name in names))
    heading = (
        f"{'policy':{width}} {'mean':>8} {'p50':>8} {'p95':>8} {'p99':>8} {'TTFT':>8} {'TTFT p99':>8} "
        f"{'paused':>7} {'evicted':>7} {'busy':>6}   {f'mean / {base}':22} {f'p99 / {base}'}"
    )
    lines = ["TTLT and TTFT in seconds", heading]
    lines += [_line(name, row, width) for name, row in zip(names, rows, strict=True)]
    return "\n".join([*lines, *tenant_table(names, rows), *_failures(names, rows), *_notes(rows)])


def _failures(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Why requests failed, an example for the first variant that has any; latencies leave them out."""
    for name, row in zip(names, rows, strict=True):
        why = next((outcome.failure for outcome in row.outcomes if outcome.failure), None)
        if why is not None:
            return [f"failed requests count in no latency; the first of {name}: {why}"]
    return []


def _line(name: str, row: Row, width: int) -> str:
    failed = round(row.figure("failed"))
    told = f"   {failed} failed" if failed else ""
    return (
        f"{name:{width}} {row.figure('mean_ttlt_s'):8.2f} {row.figure('p50_ttlt_s'):8.2f} "
        f"{row.figure('p95_ttlt_s'):8.2f} {row.figure('p99_ttlt_s'):8.2f} {row.figure('mean_ttft_s'):8.2f} "
        f"{row.figure('p99_ttft_s'):8.2f} {row.figure('evictions'):7.0f} "
        f"{row.figure('gateway_evictions'):7.0f} {row.figure('utilisation'):6.1%}   "
        f"{ratio_text(row.mean, row.is_base):22} {ratio_text(row.p99, row.is_base)}{told}"
    )


def ratio_text(ratio: Ratio, is_base: bool) -> str:
    """`0.412 [0.39 0.44]`, marked where the difference is within noise."""
    if is_base:
        return "1"
    if math.isnan(ratio.low):
        return f"{ratio.value:.3f}"
    mark = f" {NOISE}" if ratio.within_noise else ""
    return f"{ratio.value:.3f} [{ratio.low:.2f} {ratio.high:.2f}]{mark}"


def _notes(rows: Sequence[Row]) -> list[str]:
    seeds = max(len(row.outcomes) for row in rows)
    others = [row for row in rows if not row.is_base]
    if not others:
        return []
    notes = []
    if all(math.isnan(row.mean.low) for row in others):
        few = f"{FEWEST_SEEDS} seeds" if seeds > 1 else "200 requests"
        notes.append(f"No intervals: they need {few} or more. Small differences may be noise.")
    elif seeds > 1:
        notes.append(f"[ ] 95 % interval over {seeds} seeds, paired by trace")
    else:
        notes.append(
            "[ ] 95 % interval within this one trace (paired blocks of requests); "
            "other traffic differs by more: --seeds"
        )
    if any(ratio.within_noise for row in others for ratio in (row.mean, row.p99)):
        notes.append(f"{NOISE} within noise: no difference shown")
    return notes
