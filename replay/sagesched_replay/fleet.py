"""Several replicas behind a balancer, in one virtual time.

A balancer decides at arrival and for good, as in the product: each pod has its own gateway, and a queued
request does not move. It sees the replicas as they are at that instant; a real one sees them a little later.
`global` is for comparison only: one scheduler in front of all engines, which starts a request on the engine
with the most room. What the others lose against it is what queues per pod cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial

from sagesched_emulator.iteration import Emission
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_replay.fronts import Front, Gateway
from sagesched_replay.inside.registry import INSIDE
from sagesched_replay.knowledge import Ignorance, Knowledge
from sagesched_replay.replay import Replay, Shared, replay
from sagesched_replay.run import DIRECT, ReplayRun, ReplaySettings, Served
from sagesched_replay.virtual_time import VirtualTime


class Balancer(StrEnum):
    """How a request finds its replica."""

    ROUND_ROBIN = "round-robin"
    LEAST_QUEUE = "least-queue"
    LEAST_PREDICTED_BACKLOG = "least-predicted-backlog"
    GLOBAL = "global"


def replay_fleet(
    trace: Trace,
    profile: EngineProfile,
    settings: ReplaySettings,
    make_knowledge: Callable[[], Knowledge],
    *,
    replicas: int = 1,
    balancer: Balancer = Balancer.ROUND_ROBIN,
    on_served: Callable[[], object] = lambda: None,
) -> ReplayRun:
    """Run a trace through so many replicas.

    Args:
        trace: what is sent when.
        profile: each engine.
        settings: each gateway, or the policy inside each engine.
        make_knowledge: makes what one gateway is told of lengths; each learns for itself.
        replicas: how many, >= 1.
        balancer: who gets what.
        on_served: called when a request is done, for progress.

    Raises:
        ValueError: no replicas, or a policy that this balancer cannot serve.
    """
    name = settings.policy.name
    check_fleet(name, replicas, balancer)
    if replicas == 1:
        return replay(trace, profile, settings, make_knowledge(), on_served)
    if name in INSIDE:
        return _split(trace, profile, settings, make_knowledge, replicas, on_served)
    shared = Shared(VirtualTime(), {request.id: Served(request=request) for request in trace.requests})
    if balancer is Balancer.GLOBAL:
        pool = GlobalQueue(shared, trace, profile, settings, make_knowledge(), replicas, on_served)
        arrive, members = pool.front.arrive, pool.members
    else:
        members = [
            Replay(trace, profile, settings, make_knowledge(), on_served, None, shared)
            for _ in range(replicas)
        ]
        arrive = Balanced(members, balancer).arrive
    for request in trace.requests:
        shared.time.at(request.arrival_s, partial(arrive, request))
    shared.time.run()
    return _merged([member.outcome() for member in members], tuple(shared.served.values()), replicas)


def check_fleet(policy: str, replicas: int, balancer: Balancer) -> None:
    """Refuse what cannot be.

    Raises:
        ValueError: no replicas, or a policy that this balancer cannot serve.
    """
    if replicas < 1:
        raise ValueError(f"need at least 1 replica, got {replicas}")
    if replicas == 1:
        return
    if policy in INSIDE and balancer is not Balancer.ROUND_ROBIN:
        raise ValueError(f"{policy} has no queue outside the engine: with replicas, only round-robin goes")
    if policy == DIRECT and balancer in (Balancer.GLOBAL, Balancer.LEAST_PREDICTED_BACKLOG):
        raise ValueError(
            f"without a gateway nobody predicts or holds a queue: direct cannot go by {balancer}"
        )


class Balanced:
    """Sends each request to one of the replicas."""

    def __init__(self, members: Sequence[Replay], balancer: Balancer) -> None:
        self._members = members
        self._balancer = balancer
        self._turn = 0

    def arrive(self, request: TraceRequest) -> None:
        """A client sends a request."""
        self._chosen().front.arrive(request)

    def _chosen(self) -> Replay:
        turn, count = self._turn, len(self._members)
        self._turn = (turn + 1) % count
        in_turn = [self._members[(turn + place) % count] for place in range(count)]  # ties go round
        if self._balancer is Balancer.LEAST_QUEUE:
            return min(in_turn, key=lambda member: member.front.num_present())
        if self._balancer is Balancer.LEAST_PREDICTED_BACKLOG:
            return min(in_turn, key=lambda member: (member.front.backlog_s(), member.front.num_present()))
        return in_turn[0]


class GlobalQueue:
    """One scheduler in front of several engines: the world of its gateway.

    Attributes:
        time: the clock.
        served: what became of each request.
        members: the engines.
        front: the gateway.
    """

    def __init__(
        self,
        shared: Shared,
        trace: Trace,
        profile: EngineProfile,
        settings: ReplaySettings,
        knowledge: Knowledge,
        replicas: int,
        on_served: Callable[[], object],
    ) -> None:
        self.time = shared.time
        self.served = shared.served
        self._profile = profile
        self._where: dict[str, Replay] = {}
        capacity = profile.capacity()
        together = replace(
            capacity,
            slots=capacity.slots * replicas,
            kv_blocks=profile.kv_blocks * replicas,
            max_num_tokens=capacity.max_num_tokens * replicas,
        )
        self.front = Gateway(self, together, settings, knowledge)
        self.members = [
            Replay(
                trace, profile, settings, Ignorance(), on_served, lambda world: Forward(self.front), shared
            )
            for _ in range(replicas)
        ]

    def submit(self, request: TraceRequest) -> None:
        """The engine with the most room receives a request."""
        chosen = min(self.members, key=self._load)
        self._where[request.id] = chosen
        chosen.submit(request)

    def stop(self, request_id: str) -> None:
        """Its engine is asked to end a request."""
        self._where[request_id].stop(request_id)

    def note_tokens(self, emission: Emission) -> None:
        """A client receives tokens."""
        self._where[emission.request_id].note_tokens(emission)

    def fail(self, request_id: str, why: str) -> None:
        """A client is told that there will be no answer."""
        self.members[0].fail(request_id, why)

    def num_in_engine(self) -> int:
        """Requests in all engines."""
        return sum(member.num_in_engine() for member in self.members)

    def num_waiting_in_engine(self) -> int:
        """Requests in engines that do not run."""
        return sum(member.num_waiting_in_engine() for member in self.members)

    def _load(self, member: Replay) -> tuple[float, int]:
        engine, profile = member.engine, self._profile
        slots = engine.num_present / profile.max_batch_size
        return max(slots, engine.claimed_blocks / profile.kv_blocks), engine.num_present


class Forward:
    """An engine without a queue of its own: everything goes to the one gateway."""

    def __init__(self, gateway: Front) -> None:
        self.tokens = gateway.tokens
        self.measured = gateway.measured
        self.arrive = gateway.arrive
        self.num_waiting = gateway.num_waiting
        self.num_present = gateway.num_present
        self.backlog_s = gateway.backlog_s


def _split(
    trace: Trace,
    profile: EngineProfile,
    settings: ReplaySettings,
    make_knowledge: Callable[[], Knowledge],
    replicas: int,
    on_served: Callable[[], object],
) -> ReplayRun:
    """Replicas that never meet: each gets every n-th request."""
    runs = [
        replay(
            replace(trace, requests=trace.requests[place::replicas]),
            profile,
            settings,
            make_knowledge(),
            on_served,
        )
        for place in range(min(replicas, len(trace.requests)))
    ]
    served = {one.request.id: one for run in runs for one in run.served}
    return _merged(runs, tuple(served[request.id] for request in trace.requests), replicas)


def _merged(runs: Sequence[ReplayRun], served: tuple[Served, ...], replicas: int) -> ReplayRun:
    """All replicas, of which some may have had no request and no run, as one run.

    What is a mean weighs each by the time that it had a backlog.
    """
    backlog_s = sum(run.backlog_s for run in runs)
    span_s = backlog_s or 1.0
    return ReplayRun(
        policy=runs[0].policy,
        served=served,
        evictions=sum(run.evictions for run in runs),
        busy_s=sum(run.busy_s for run in runs),
        ended_at=max(run.ended_at for run in runs),
        engine_waits=tuple(wait for run in runs for wait in run.engine_waits),
        backlog_s=backlog_s,
        backlog_batch=sum(run.backlog_batch * run.backlog_s for run in runs) / span_s,
        backlog_kv=sum(run.backlog_kv * run.backlog_s for run in runs) / span_s,
        backlog_tokens_per_s=sum(run.backlog_tokens_per_s * run.backlog_s for run in runs) / span_s,
        replicas=replicas,
    )
