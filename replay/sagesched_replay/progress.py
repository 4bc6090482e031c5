"""Runs a plan, with a bar per run for whoever watches."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from sagesched_replay.plan import Plan
from sagesched_replay.sheet import labels
from sagesched_replay.study import Outcome, Variant, run_variant


def run_all(plan: Plan, variants: Sequence[Variant]) -> list[Outcome]:
    """Each variant on each trace."""
    names = labels(variants)
    outcomes: list[Outcome] = []
    total = len(plan.traces) * len(variants)
    for traced in plan.traces:
        for name, variant in zip(names, variants, strict=True):
            seed = f" seed {traced.trace.seed}" if len(plan.traces) > 1 else ""
            title = f"{len(outcomes) + 1}/{total} {name}{seed}"
            with tqdm(
                total=len(traced.trace.requests), desc=title, unit="request", leave=False, disable=None
            ) as bar:
                outcomes.append(
                    run_variant(
                        variant,
                        traced.trace,
                        plan.engine,
                        plan.gateway,
                        traced.make_knowledge,
                        plan.warmup,
                        bar.update,
                    )
                )
    return outcomes
