"""Replay: a trace through the product's own scheduler and the emulated engine, in virtual time.

The very scheduler of the live gateway (`replay_fronts`) and the engine model that also runs inside Triton
share one clock that jumps, so thousands of requests take seconds. True lengths reach the engine only.
`direct` has no scheduler: every request goes straight into the engine's own queue.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sagesched_emulator.engine import Engine
from sagesched_emulator.iteration import Emission
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_replay.fronts import Direct, Front, Gateway
from sagesched_replay.inside.engine import InsideEngine
from sagesched_replay.inside.registry import INSIDE, make_inside
from sagesched_replay.knowledge import Knowledge
from sagesched_replay.run import BLIND, DIRECT, ReplayRun, ReplaySettings, Served
from sagesched_replay.virtual_time import LAST, VirtualTime

__all__ = ["BLIND", "DIRECT", "Replay", "ReplayRun", "ReplaySettings", "Served", "replay"]

MEASURED_EVERY_S = 0.1
"""A gateway reads the engine's gauges this often."""


def replay(
    trace: Trace,
    profile: EngineProfile,
    settings: ReplaySettings,
    knowledge: Knowledge,
    on_served: Callable[[], object] = lambda: None,
    make_front: Callable[[Replay], Front] | None = None,
) -> ReplayRun:
    """Run a trace through one policy.

    Args:
        trace: what is sent when.
        profile: the engine.
        settings: the gateway, or the policy inside the engine.
        knowledge: what it is told of lengths; fresh, since it may learn.
        on_served: called when a request is done, for progress.
        make_front: what stands between clients and engine; None for the gateway, or nothing where `direct`.

    Raises:
        ValueError: unknown policy, or a knob out of its range.
    """
    if settings.policy.name in INSIDE:
        make_policy = make_inside(settings.policy)
        engine = InsideEngine(trace, profile, make_policy, knowledge, settings.preemption)
        return engine.run(settings.policy.name, on_served)
    return Replay(trace, profile, settings, knowledge, on_served, make_front).run()


class Shared(NamedTuple):
    """What replicas of one pool have in common.

    Attributes:
        time: the clock.
        served: what became of each request.
    """

    time: VirtualTime
    served: dict[str, Served]


class Replay:
    """Clients and the engine, with a front in between.

    Attributes:
        time: the clock.
        engine: the engine.
        served: what became of each request.
        front: what stands between clients and engine.
    """

    def __init__(
        self,
        trace: Trace,
        profile: EngineProfile,
        settings: ReplaySettings,
        knowledge: Knowledge,
        on_served: Callable[[], object],
        make_front: Callable[[Replay], Front] | None,
        shared: Shared | None = None,
    ) -> None:
        """Prepare; `shared` makes it one replica of several, which somebody else sends requests to."""
        self.time = shared.time if shared else VirtualTime()
        self.engine = Engine(profile, settings.stream_interval)
        self.served = (
            shared.served if shared else {request.id: Served(request=request) for request in trace.requests}
        )
        self._policy = settings.policy.name
        self._on_served = on_served
        self._stepping = False
        self._window_s = 0.0
        self._window_iterations = 0
        self._backlog_s = self._backlog_batch = self._backlog_kv = 0.0
        self._backlog_tokens = 0
        self._num_unsettled = settings.unsettled_starts
        self.front: Front
        if make_front is not None:
            self.front = make_front(self)
        elif self._policy == DIRECT:
            self.front = Direct(self)
        else:
            self.front = Gateway(self, profile.capacity(), settings, knowledge)
        if shared is None:
            for request in trace.requests:
                self.time.at(request.arrival_s, partial(self.front.arrive, request))

    def run(self) -> ReplayRun:
        """To the end of all that was planned."""
        self.time.run()
        return self.outcome()

    def outcome(self) -> ReplayRun:
        """What has happened so far."""
        statistics = self.engine.statistics()
        span_s = self._backlog_s or 1.0
        # A gateway may have asked to be woken long after all is done.
        ends = [served.last_at for served in self.served.values() if served.last_at is not None]
        return ReplayRun(
            policy=self._policy,
            served=tuple(self.served.values()),
            evictions=statistics.evictions,
            busy_s=statistics.busy_s,
            ended_at=max(ends, default=self.time.now),
            engine_waits=tuple(self.engine.queue_waits[self._num_unsettled :]),
            backlog_s=self._backlog_s,
            backlog_batch=self._backlog_batch / span_s,
            backlog_kv=self._backlog_kv / span_s,
            backlog_tokens_per_s=self._backlog_tokens / span_s,
        )

    def submit(self, request: TraceRequest) -> None:
        """The engine receives a request; it starts to step if it was idle."""
        try:
            self.engine.submit(
                request.id, request.prompt_tokens, request.max_tokens, request.output_tokens, self.time.now
            )
        except ValueError as error:
            self.fail(request.id, str(error))
            return
        if not self._stepping:
            self._stepping = True
            self.time.at(self.time.now, self._step, LAST)

    def stop(self, request_id: str) -> None:
        """The engine is asked to end a request."""
        self.engine.stop(request_id)

    def num_in_engine(self) -> int:
        """Requests in the engine."""
        return self.engine.num_present

    def num_waiting_in_engine(self) -> int:
        """Requests in the engine that do not run."""
        return self.engine.num_present - self.engine.num_scheduled

    def note_tokens(self, emission: Emission) -> None:
        """A client receives tokens."""
        served = self.served[emission.request_id]
        if emission.first and served.first_at is None:  # a second time after an eviction
            served.first_at = self.time.now
        if emission.final:
            served.last_at = self.time.now
            self._on_served()

    def fail(self, request_id: str, why: str) -> None:
        """A client is told that there will be no answer."""
        self.served[request_id].failure = why
        self._on_served()

    def _step(self) -> None:
        """Iterations until something else is due; the next begins after everything due at its instant."""
        time, engine = self.time, self.engine
        while not engine.idle:
            ended_at, emissions = engine.advance(time.now)
            self._measure(ended_at - time.now)
            if time.next_at <= ended_at:
                if emissions:
                    time.at(ended_at, partial(self.front.tokens, emissions))
                time.at(ended_at, self._step, LAST)
                return
            time.now = ended_at
            if emissions:
                self.front.tokens(emissions)
        self._stepping = False

    def _measure(self, duration_s: float) -> None:
        """Note the iteration under way, which began now."""
        engine = self.engine
        if len(engine.queue_waits) > self._num_unsettled and self.front.num_waiting():
            self._backlog_s += duration_s
            self._backlog_batch += duration_s * engine.num_scheduled
            self._backlog_kv += duration_s * engine.used_blocks / engine.cache.max_blocks
            self._backlog_tokens += engine.num_scheduled
        self._window_s += duration_s
        self._window_iterations += 1
        if self._window_s >= MEASURED_EVERY_S:
            self.front.measured(self._window_s / self._window_iterations)
            self._window_s = 0.0
            self._window_iterations = 0
