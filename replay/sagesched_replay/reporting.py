"""A plan and what came of it, made into the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sagesched_replay.html.page import Report, page
from sagesched_replay.options import FRONTIER_WEIGHTS
from sagesched_replay.plan import Plan
from sagesched_replay.progress import run_all
from sagesched_replay.study import Outcome, Row

SWEPT = "gittins-boost"


def write_report(path: Path, plan: Plan, rows: Sequence[Row]) -> None:
    """Run what the frontier lacks, and write the page."""
    report = Report(facts=_facts(plan), rows=rows, sweep=_sweep(plan, rows))
    path.write_text(page(report), encoding="utf-8")


def _sweep(plan: Plan, rows: Sequence[Row]) -> list[Outcome]:
    """The policy with a tail weight over its weights, on the first trace; what has run is not run again."""
    swept = next((row.variant for row in rows if row.variant.policy.name == SWEPT), None)
    if swept is None:
        return []
    known = {row.variant: row.outcomes[0] for row in rows}
    variants = [
        replace(swept, policy=replace(swept.policy, tail_weight=weight)) for weight in FRONTIER_WEIGHTS
    ]
    missing = [variant for variant in variants if variant not in known]
    for outcome in run_all(replace(plan, traces=plan.traces[:1]), missing):
        known[outcome.variant] = outcome
    return [known[variant] for variant in variants]


def _facts(plan: Plan) -> list[tuple[str, str]]:
    arguments, trace, engine = plan.arguments, plan.traces[0].trace, plan.engine
    source = plan.source
    data = f"{source.name} ({source.kind}), SHA-256 {source.digest}" if source else "generated prompts"
    step = engine.step_time
    seeds = ", ".join(f"{traced.trace.seed} (trace {traced.digest})" for traced in plan.traces)
    facts = [
        ("Requests", f"{len(trace.requests)} over {trace.span_s:.0f} s, load {trace.rho:.2f} for one engine"),
        ("Data", data),
        ("Seeds" if len(plan.traces) > 1 else "Seed", seeds),
        (
            "Engine",
            f"{engine.name}: {engine.max_batch_size} slots, {engine.kv_tokens} KV tokens "
            f"({engine.kv_policy.value}), "
            f"step {step.base_s * 1e3:.2f} ms + {step.per_sequence_s * 1e6:.1f} us "
            f"per sequence + {step.per_cached_token_s * 1e9:.1f} ns per cached token, prefill "
            f"{step.prefill_s_per_token * 1e6:.1f} us per token",
        ),
        ("Lengths known", _KNOWN[arguments.distribution]),
    ]
    if plan.fitted is not None:
        facts.append(("Engine fitted", "; ".join(plan.fitted.lines()[1:])))
    if plan.warmup:
        facts.append(("Warm-up", f"the first {plan.warmup} requests count in no figure"))
    return facts


_KNOWN = {
    "predictor": "by the product's predictor, which learns as answers end",
    "true": "other answers to the same prompt, as a perfect predictor would know them",
    "by-prompt-tokens": "the latest answers to prompts of about the same size",
    "none": "not at all",
}
