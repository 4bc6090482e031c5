"""A study as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sagesched_replay.paired import Ratio
from sagesched_replay.plan import Plan
from sagesched_replay.study import Outcome, Row
from sagesched_replay.tenants import by_tenant


def summary(plan: Plan, rows: Sequence[Row]) -> dict[str, object]:
    """What was run, each run, and what differs; nan becomes None, which JSON can carry."""
    trace = plan.traces[0].trace
    weights = plan.arguments.tail_weight or [1.0]
    return {
        "trace": {
            "data": str(plan.arguments.data) if plan.arguments.data else None,
            "data_sha256": plan.source.digest if plan.source else None,
            "trace_sha256": [traced.digest for traced in plan.traces],
            "engine": plan.engine.name,
            "requests": len(trace.requests),
            "rho": _plain(trace.rho),
            "seed": trace.seed,
            "seeds": len(plan.traces),
            "span_s": trace.span_s,
            "warmup": plan.warmup,
            "distribution": plan.arguments.distribution,
            "observed_before": plan.arguments.adapt,
            "tail_weight": weights[0] if len(weights) == 1 else weights,
        },
        "runs": [_run(outcome) for row in rows for outcome in row.outcomes],
        "comparison": [
            {
                **_variant(row),
                "is_base": row.is_base,
                "mean_ttlt": _ratio(row.mean),
                "p99_ttlt": _ratio(row.p99),
            }
            for row in rows
        ],
    }


def _run(outcome: Outcome) -> dict[str, object]:
    variant = outcome.variant
    return {
        **outcome.figures.as_json(),
        "tail_weight": variant.tail_weight,
        "replicas": variant.replicas,
        "balancer": str(variant.balancer) if variant.replicas > 1 else None,
        "seed": outcome.seed,
        "tenants": {
            one.tenant: {
                "completed": one.completed,
                "failed": one.failed,
                "mean_ttlt_s": _plain(one.mean_ttlt_s),
                "p99_ttlt_s": _plain(one.p99_ttlt_s),
            }
            for one in by_tenant(outcome)
        },
    }


def _variant(row: Row) -> dict[str, object]:
    variant = row.variant
    return {
        "policy": variant.policy.name,
        "tail_weight": variant.tail_weight,
        "replicas": variant.replicas,
        "balancer": str(variant.balancer) if variant.replicas > 1 else None,
    }


def _ratio(ratio: Ratio) -> dict[str, object]:
    return {
        "ratio": _plain(ratio.value),
        "low": _plain(ratio.low),
        "high": _plain(ratio.high),
        "within_noise": None if math.isnan(ratio.low) else ratio.within_noise,
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
