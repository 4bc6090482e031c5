"""A study: each variant of the service on each trace, all else equal.

A *variant* is what an SRE could change: policy, tail weight, replicas, balancer. Traces differ by seed; every
variant runs on the very same ones, so that differences can be paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.trace import Trace
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_replay.fleet import Balancer, replay_fleet
from sagesched_replay.inside.preemption import Preemption
from sagesched_replay.knowledge import Knowledge
from sagesched_replay.paired import FloatArray, Ratio, over_seeds, within_trace
from sagesched_replay.report import RunFigures, run_figures
from sagesched_replay.run import ReplayRun, ReplaySettings
from sagesched_replay.told import told

BASE = "fcfs"
TAIL_WEIGHTED = frozenset({"gittins-boost", "gittins-boost@engine"})
"""Policies that have a tail weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run the service.

    Attributes:
        policy: order and knobs.
        replicas: engines, each behind its own gateway.
        balancer: how a request finds its replica.
    """

    policy: PolicySettings
    replicas: int = 1
    balancer: Balancer = Balancer.ROUND_ROBIN

    @property
    def tail_weight(self) -> float | None:
        """Of the policy; None where it has none."""
        return self.policy.tail_weight if self.policy.name in TAIL_WEIGHTED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What all variants have in common, beside the engine.

    Attributes:
        stream_interval: the engine streams each n-th token.
        kv_headroom_iterations: as in `EngineCapacity`; None leaves it to the core.
        preemption: what it costs to put a running request aside, inside the engine.
        pressure: deadlines, limits, tenants.
    """

    stream_interval: int
    kv_headroom_iterations: float | None
    preemption: Preemption
    pressure: PressureSettings = field(default_factory=PressureSettings)


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """What became of the requests of one run, one entry each in order of arrival, seconds.

    Attributes:
        arrival: when it came.
        start: when it was first sent to an engine, and did not come back; nan where it never was.
        first: its first token; nan where there is none.
        last: its last token; nan where there is none.
        output: true output tokens.
        tenants: on whose behalf it came; empty where all came for one.
    """

    arrival: FloatArray
    start: FloatArray
    first: FloatArray
    last: FloatArray
    output: FloatArray
    tenants: tuple[str, ...] = ()

    @property
    def ttlt(self) -> FloatArray:
        """Arrival to last token."""
        return self.last - self.arrival


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One variant on one trace.

    Attributes:
        variant: what was run.
        seed: of the trace.
        figures: in numbers.
        requests: what became of each.
        failure: why the first request without an answer has none; None where all have one.
    """

    variant: Variant
    seed: int
    figures: RunFigures
    requests: Requests
    failure: str | None = None


def run_variant(
    variant: Variant,
    trace: Trace,
    engine: EngineProfile,
    gateway: Gateway,
    make_knowledge: Callable[[], Knowledge],
    warmup: int,
    on_served: Callable[[], object],
) -> Outcome:
    """Run one variant on one trace; the first `warmup` requests count in no latency."""
    settings = ReplaySettings(
        policy=variant.policy,
        stream_interval=gateway.stream_interval,
        kv_headroom_iterations=gateway.kv_headroom_iterations,
        preemption=gateway.preemption,
        pressure=gateway.pressure,
    )
    run = replay_fleet(
        trace,
        engine,
        settings,
        lambda: told(variant.policy.name, make_knowledge),
        replicas=variant.replicas,
        balancer=variant.balancer,
        on_served=on_served,
    )
    failure = next((one.failure for one in run.served[warmup:] if one.failure is not None), None)
    return Outcome(variant, trace.seed, run_figures(run, warmup), _requests(run, warmup), failure)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A variant over all seeds.

    Attributes:
        variant: the variant.
        outcomes: one per seed.
        mean: its mean TTLT to that of the base.
        p99: its 99th percentile to that of the base.
        is_base: whether it is the base itself.
    """

    variant: Variant
    outcomes: Sequence[Outcome]
    mean: Ratio
    p99: Ratio
    is_base: bool

    def figure(self, name: str) -> float:
        """Mean over seeds of a figure of the runs."""
        return float(np.mean([getattr(outcome.figures, name) for outcome in self.outcomes]))


def compared(outcomes: Sequence[Outcome], seed: int) -> list[Row]:
    """Outcomes by variant, in the order given, against `fcfs` where it ran, else against the first."""
    by_variant: dict[Variant, list[Outcome]] = {}
    for outcome in outcomes:
        by_variant.setdefault(outcome.variant, []).append(outcome)
    base = next((v for v in by_variant if v.policy.name == BASE), next(iter(by_variant)))
    return [
        Row(
            variant,
            found,
            _ratio(found, by_variant[base], "mean_ttlt_s", _mean, seed),
            _ratio(found, by_variant[base], "p99_ttlt_s", _p99, seed),
            variant == base,
        )
        for variant, found in by_variant.items()
    ]


def _ratio(
    outcomes: Sequence[Outcome],
    bases: Sequence[Outcome],
    name: str,
    figure: Callable[[FloatArray], float],
    seed: int,
) -> Ratio:
    """Of one figure of the runs; within the trace where there is but one."""
    values = [float(getattr(one.figures, name)) for one in outcomes]
    base_values = [float(getattr(one.figures, name)) for one in bases]
    if len(outcomes) > 1:
        return over_seeds(values, base_values)
    ratio = within_trace(outcomes[0].requests.ttlt, bases[0].requests.ttlt, figure, seed)
    return ratio._replace(value=values[0] / (base_values[0] or math.nan))


def _mean(values: FloatArray) -> float:
    return float(values.mean())


def _p99(values: FloatArray) -> float:
    return float(np.quantile(values, 0.99))


def _requests(run: ReplayRun, warmup: int) -> Requests:
    served = run.served[warmup:]
    tenants = tuple(one.request.tenant for one in served)

    def column(values: Iterator[float | None]) -> FloatArray:
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)

    return Requests(
        arrival=column(one.request.arrival_s for one in served),
        start=column(one.started_at for one in served),
        first=column(one.first_at for one in served),
        last=column(one.last_at for one in served),
        output=column(one.request.output_tokens for one in served),
        tenants=tenants if len(set(tenants)) > 1 else (),
    )
