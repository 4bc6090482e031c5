"""A command line made into what is run: traces, variants, engine, and what gateways know."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from tqdm import tqdm

from sagesched_emulator.dataset import Record, read_dataset
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_emulator.workload import generate
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_gateway.settings.config_file import load_config
from sagesched_gateway.settings.core import pressure_of
from sagesched_replay.adaptation import set_apart
from sagesched_replay.by_prompt_tokens import ByPromptTokens
from sagesched_replay.engines import FittedEngine, engine_of
from sagesched_replay.fleet import Balancer, check_fleet
from sagesched_replay.formats.source import TraceSource, read_source
from sagesched_replay.inside.preemption import Preemption, Way
from sagesched_replay.knowledge import (
    Ignorance,
    Knowledge,
    OtherAnswers,
    knows_other_answers,
    learned,
    model_of,
    open_artifact,
)
from sagesched_replay.options import DEFAULT_POLICIES, DEFAULT_REQUESTS
from sagesched_replay.run import BLIND
from sagesched_replay.scaling import at_load, faster, trace_digest
from sagesched_replay.study import TAIL_WEIGHTED, Gateway, Variant
from sagesched_replay.told import ALL_ORACLES, ALL_POLICIES

MakeKnowledge = Callable[[], Knowledge]


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePlan:
    """One trace, and what gateways know of it."""

    trace: Trace
    digest: str
    make_knowledge: MakeKnowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that will be run.

    Attributes:
        arguments: the command line.
        engine: each replica's.
        fitted: how it was fitted; None where it was not.
        source: the file; None where prompts are generated.
        traces: one per seed.
        variants: each runs on each trace.
        gateway: what they have in common.
        warmup: requests at the beginning that count in no latency.
    """

    arguments: argparse.Namespace
    engine: EngineProfile
    fitted: FittedEngine | None
    source: TraceSource | None
    traces: Sequence[TracePlan]
    variants: Sequence[Variant]
    gateway: Gateway
    warmup: int

    def heading(self) -> list[str]:
        """What every table names: trace, data, seed, engine."""
        trace = self.traces[0].trace
        last = self.traces[-1].trace.seed
        seeds = f"seed {trace.seed}" if len(self.traces) == 1 else f"seeds {trace.seed}-{last}"
        data = f"data {self.source.digest}, " if self.source else ""
        left_out = f", first {self.warmup} left out" if self.warmup else ""
        requests = f"{len(trace.requests)} requests {self._origin()} over {trace.span_s:.0f} s"
        lines = [
            f"{requests} (rho {trace.rho:.2f} for one engine) on {self.engine.name}, {seeds}, "
            f"distribution {self.arguments.distribution}{left_out}",
            f"SHA-256: {data}trace {self.traces[0].digest}",
        ]
        if self.fitted is not None:
            lines += [
                f"engine fitted to {self.engine.name} (sha256 {self.fitted.digest})",
                *self.fitted.lines(),
            ]
        return lines

    def _origin(self) -> str:
        if self.source is None:
            return "of generated prompts"
        records, name = self.source.records, self.source.name
        return f"of {name}" if records[0].arrival_s is not None else f"drawn from {len(records)} of {name}"


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Read, draw and check everything before the first run.

    Raises:
        DatasetError: a file cannot be used.
        ValueError: an option is out of its range.
    """
    engine, fitted = engine_of(arguments.engine)
    variants = _variants(arguments)
    all_blind = all(variant.policy.name in BLIND | ALL_ORACLES for variant in variants)
    _check_options(arguments)
    pressure = pressure_of(load_config(arguments.config)) if arguments.config else PressureSettings()
    needs_prompts = arguments.distribution == "predictor" and not all_blind
    traces, source = [], None
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        records, observed, source = _records(arguments, seed, needs_prompts)
        if arguments.config is None:
            records = [replace(record, tenant="", priority=0, deadline_s=None) for record in records]
        trace = _trace(arguments, records, engine, seed)
        knowledge = Ignorance if all_blind else _knowledge(arguments, trace, observed)
        traces.append(TracePlan(trace=trace, digest=trace_digest(trace), make_knowledge=knowledge))
    if len({plan.digest for plan in traces}) < len(traces):
        raise ValueError(
            f"--seeds changes nothing of {arguments.data}: its arrivals and lengths are as recorded"
        )
    return Plan(
        arguments=arguments,
        engine=engine,
        fitted=fitted,
        source=source,
        traces=traces,
        variants=variants,
        gateway=Gateway(
            stream_interval=arguments.stream_interval,
            kv_headroom_iterations=arguments.kv_headroom,
            preemption=Preemption(way=Way(arguments.preemption)),
            pressure=pressure,
        ),
        warmup=_warmup(arguments.warmup, len(traces[0].trace.requests)),
    )


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse what would go wrong later, or go through and mean nothing."""
    if arguments.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {arguments.seed}")
    if arguments.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {arguments.seeds}")
    if arguments.max_tokens is not None and arguments.max_tokens < 1:
        raise ValueError(f"--max-tokens must be at least 1, got {arguments.max_tokens}")
    for path in (arguments.json, arguments.html):
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.parent} to write it to")
    for weight in arguments.tail_weight or ():
        if not 0 < weight < math.inf:
            raise ValueError(f"tail weight must be positive and finite, got {weight}")
    if arguments.kv_headroom is not None and not 0 <= arguments.kv_headroom < math.inf:
        raise ValueError(f"--kv-headroom must be at least 0, got {arguments.kv_headroom:g}")


def _variants(arguments: argparse.Namespace) -> list[Variant]:
    names = list(dict.fromkeys(arguments.policy or DEFAULT_POLICIES))
    for name in names:
        if name not in ALL_POLICIES:
            raise ValueError(f"unknown policy {name!r}, one of {', '.join(ALL_POLICIES)}")
    variants = [
        Variant(policy=policy, replicas=replicas, balancer=balancer)
        for replicas in arguments.replicas or [1]
        for balancer, policy in product(_balancers(arguments, replicas), _policies(arguments, names))
    ]
    for variant in variants:
        check_fleet(variant.policy.name, variant.replicas, variant.balancer)
    return list(dict.fromkeys(variants))


def _balancers(arguments: argparse.Namespace, replicas: int) -> list[Balancer]:
    if replicas == 1:
        return [Balancer.ROUND_ROBIN]
    return [Balancer(name) for name in arguments.balancer or [Balancer.ROUND_ROBIN]]


def _policies(arguments: argparse.Namespace, names: Sequence[str]) -> list[PolicySettings]:
    weights = arguments.tail_weight or [1.0]
    return [
        PolicySettings(name=name, tail_weight=weight, age_guard=arguments.age_guard)
        for name in names
        for weight in (weights if name in TAIL_WEIGHTED else weights[:1])
    ]


def _records(
    arguments: argparse.Namespace, seed: int, needs_prompts: bool
) -> tuple[list[Record], list[Record], TraceSource | None]:
    """Lines to replay, lines to observe before, and where they are from."""
    if arguments.adapt < 0:
        raise ValueError(f"--adapt must be at least 0, got {arguments.adapt}")
    count = DEFAULT_REQUESTS if arguments.requests is None else arguments.requests
    if arguments.data is None:
        return *set_apart(generate(max(count, 1) + arguments.adapt, seed), arguments.adapt, seed), None
    source = read_source(
        arguments.data,
        needs_prompts=needs_prompts,
        num_requests=max(count, 1),
        seed=seed,
        from_s=arguments.from_s,
        max_tokens=arguments.max_tokens,
    )
    return *set_apart(source.records, arguments.adapt, seed), source


def _trace(
    arguments: argparse.Namespace, records: Sequence[Record], engine: EngineProfile, seed: int
) -> Trace:
    is_timed = bool(records) and records[0].arrival_s is not None
    if arguments.rate_scale is not None and (arguments.rho is not None or not is_timed):
        raise ValueError("--rate-scale is for files with arrivals, and instead of --rho")
    first_replicas = max((arguments.replicas or [1])[0], 1)
    count = arguments.requests
    if count is None:
        count = len(records) if is_timed else DEFAULT_REQUESTS
    rho = (1.0 if arguments.rho is None else arguments.rho) * first_replicas
    trace = draw_trace(
        records,
        profile=engine,
        rho=rho,
        num_requests=count,
        seed=seed,
        repeats=arguments.data is not None,
    )
    if is_timed and arguments.rho is not None:
        return at_load(trace, rho)
    return trace if arguments.rate_scale is None else faster(trace, arguments.rate_scale)


def _knowledge(arguments: argparse.Namespace, trace: Trace, observed: Sequence[Record]) -> MakeKnowledge:
    """Makes what each run knows; fresh for each, since a predictor learns."""
    if arguments.distribution != "predictor" and (arguments.warm or arguments.artifact or arguments.adapt):
        raise ValueError("--warm, --adapt and --artifact are for --distribution predictor")
    if arguments.distribution == "none":
        return Ignorance
    if arguments.distribution == "by-prompt-tokens":
        return ByPromptTokens
    if arguments.distribution == "true":
        if not knows_other_answers(trace):
            raise ValueError(
                "--distribution true needs two 'output_samples' or more; use predictor or none with this file"
            )
        return OtherAnswers
    warm = [*(read_dataset(arguments.warm) if arguments.warm else []), *observed]
    artifact = open_artifact(arguments.artifact)
    prompts = [record.prompt for record in warm] + [request.prompt for request in trace.requests]
    with tqdm(total=len(set(prompts)), desc="prompts", unit="prompt", leave=False, disable=None) as bar:
        artifact.embeddings.prepare(prompts, bar.update)
    model = model_of([*warm, *trace.requests])
    return lambda: learned(artifact, warm, seed=trace.seed, model=model)


def _warmup(text: str, num_requests: int) -> int:
    """`N` requests or `P%` of them."""
    try:
        share = float(text.removesuffix("%"))
        count = int(num_requests * share / 100) if text.endswith("%") else int(text)
    except (ValueError, OverflowError):
        count = -1
    if not 0 <= count < num_requests:
        raise ValueError(
            f"--warmup must be a number or percentage that leaves requests to count, got {text!r}"
        )
    return count
