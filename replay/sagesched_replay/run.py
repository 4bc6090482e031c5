"""What a replay is told (`ReplaySettings`) and what comes out of it (`ReplayRun`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_emulator.trace import TraceRequest
from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_replay.inside.preemption import Preemption

DIRECT = "direct"
"""The pseudo policy without a scheduler."""

BLIND = frozenset({DIRECT, "fcfs", "wspt", "hrrn", "fcfs@engine", "mlfq", "mlfq-unaged"})
"""Policies whose order lengths cannot change, so that predicting for them would only take time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """How a replayed gateway behaves.

    Attributes:
        policy: order and knobs; the name `direct` leaves the gateway out.
        hop_s: gateway to engine, one way, seconds.
        prediction_s: arrival to prediction, seconds.
        stream_interval: the engine streams each n-th token; 1 is exact and slower.
        kv_headroom_iterations: as in `EngineCapacity`; None leaves it to the core.
        pressure: deadlines, limits, tenants.
        eta_quantile: note for each waiting request the wait predicted with this probability; None for none.
        unsettled_starts: waits inside the engine and its batch are counted after the first so many requests.
        retries: times that a client comes again after the seconds that a refusal tells.
        preemption: what it costs to put a running request aside, for policies inside the engine.
    """

    policy: PolicySettings
    hop_s: float = 0.001
    prediction_s: float = 0.01
    stream_interval: int = 16
    kv_headroom_iterations: float | None = None
    pressure: PressureSettings = field(default_factory=PressureSettings)
    eta_quantile: float | None = None
    unsettled_starts: int = 0
    retries: int = 0
    preemption: Preemption = field(default_factory=Preemption)


@dataclass(slots=True, kw_only=True)
class Served:
    """What happened to one request; instants are seconds after the trace's start, as its client sees them.

    Attributes:
        request: as in the trace.
        started_at: when it was sent to the engine; None if it never was.
        first_at: its first token; None before it came.
        last_at: its last token; None before it came.
        failure: why it has no answer; None where it has one.
        evictions: times that the gateway cancelled it to start it again.
        discarded_tokens: output tokens that the engine generated for it in vain.
        known_at: when the gateway knew all it ever would while the request waited; None where it did not.
        eta_s: the wait then predicted with probability `eta_quantile`, seconds; None where not asked for.
        refusal: the latest time the gateway turned it away; None where it never did.
        num_refusals: times that it did.
    """

    request: TraceRequest
    started_at: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    failure: str | None = None
    evictions: int = 0
    discarded_tokens: int = 0
    known_at: float | None = None
    eta_s: float | None = None
    refusal: Reject | None = None
    num_refusals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRun:
    """One replayed run.

    Attributes:
        policy: its name.
        served: one per request, in order of arrival.
        evictions: sequences that lost their cache because KV ran out.
        busy_s: seconds that the engine spent in iterations.
        ended_at: instant of the last token.
        engine_waits: per request, time in the engine's own queue: seconds, iterations that ran meanwhile.
        backlog_s: seconds of iterations during which requests waited somewhere.
        backlog_batch: mean number of running sequences in those.
        backlog_kv: mean share of KV blocks in use in those.
        backlog_tokens_per_s: output tokens generated per second of those.
        replicas: engines that served it; the means above are of one of them, the sums of all.
    """

    policy: str
    served: tuple[Served, ...]
    evictions: int
    busy_s: float
    ended_at: float
    engine_waits: tuple[tuple[float, int], ...]
    backlog_s: float
    backlog_batch: float
    backlog_kv: float
    backlog_tokens_per_s: float
    replicas: int = 1
