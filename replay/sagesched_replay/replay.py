"""Replay: a trace through the product's own scheduler and the emulated engine, in virtual time.

The very scheduler of the live gateway (`replay_fronts`) and the engine model that also runs inside Triton
share one clock that jumps, so thousands of requests take seconds. True lengths reach the engine only.
`direct` has no scheduler: every request goes straight into the engine's own queue.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sagesched_emulator.engine import Engine
from sagesched_emulator.iteration import Emission, Iteration
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


class Replay:
    """Clients and the engine, with a front in between.

    Attributes:
        time: the clock.
        engine: the engine.
        served: what became of each request.
    """

    def __init__(
        self,
        trace: Trace,
        profile: EngineProfile,
        settings: ReplaySettings,
        knowledge: Knowledge,
        on_served: Callable[[], object],
        make_front: Callable[[Replay], Front] | None,
    ) -> None:
        self.time = VirtualTime()
        self.engine = Engine(profile, settings.stream_interval)
        self.served = {request.id: Served(request=request) for request in trace.requests}
        self._policy = settings.policy.name
        self._on_served = on_served
        self._stepping = False
        self._window_s = 0.0
        self._window_iterations = 0
        self._backlog_s = self._backlog_batch = self._backlog_kv = 0.0
        self._backlog_tokens = 0
        self._num_unsettled = settings.unsettled_starts
        self._front: Front
        if make_front is not None:
            self._front = make_front(self)
        elif self._policy == DIRECT:
            self._front = Direct(self)
        else:
            self._front = Gateway(self, profile.capacity(), settings, knowledge)
        for request in trace.requests:
            self.time.at(request.arrival_s, partial(self._front.arrive, request))

    def run(self) -> ReplayRun:
        """To the end of all that was planned."""
        self.time.run()
        statistics = self.engine.statistics()
        span_s = self._backlog_s or 1.0
        return ReplayRun(
            policy=self._policy,
            served=tuple(self.served.values()),
            evictions=statistics.evictions,
            busy_s=statistics.busy_s,
            ended_at=self.time.now,
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

    def num_waiting_in_engine(self) -> int:
        """Requests in the engine that do not run."""
        statistics = self.engine.statistics()
        return statistics.num_active + statistics.num_queued - statistics.num_scheduled

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
        """One iteration; the next begins when it ends, after everything else due at that instant."""
        if self.engine.idle:
            self._stepping = False
            return
        iteration = self.engine.step(self.time.now)
        self._measure(iteration)
        if iteration.emissions:
            self.time.at(iteration.ended_at, partial(self._front.tokens, iteration.emissions))
        self.time.at(iteration.ended_at, self._step, LAST)

    def _measure(self, iteration: Iteration) -> None:
        duration_s = iteration.ended_at - iteration.started_at
        statistics = iteration.statistics
        if len(self.engine.queue_waits) > self._num_unsettled and self._front.num_waiting():
            self._backlog_s += duration_s
            self._backlog_batch += duration_s * statistics.num_scheduled
            self._backlog_kv += duration_s * statistics.used_blocks / statistics.max_blocks
            self._backlog_tokens += statistics.num_scheduled
        self._window_s += duration_s
        self._window_iterations += 1
        if self._window_s >= MEASURED_EVERY_S:
            self._front.measured(self._window_s / self._window_iterations)
            self._window_s = 0.0
            self._window_iterations = 0
