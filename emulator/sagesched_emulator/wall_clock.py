"""An engine kept to the wall clock: iterations of the pure model end when their time has come.

The schedule is absolute. Iteration i ends at T_i (engine seconds), the next begins at T_i, and after an idle
spell at the arrival that ends it. Work that runs late is caught up, never dropped, so lateness does not add
up; it is measured per iteration instead, and a run that was starved of CPU can be told from a slow engine.

A request that arrives while an iteration runs is admitted by the next, even where the loop notices it late:
arrivals carry their own instant. `time_scale` wall seconds pass per engine second.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from sagesched_emulator.engine import Engine
from sagesched_emulator.iteration import Iteration


class WallClock:
    """Engine seconds since this object was made."""

    def __init__(self, time_scale: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start at zero.

        Args:
            time_scale: wall seconds per engine second, > 0.
            monotonic: the wall clock, seconds.
        """
        if not time_scale > 0:
            raise ValueError(f"time_scale must be above 0, got {time_scale}")
        self.time_scale = time_scale
        self._monotonic = monotonic
        self._started_at = monotonic()

    def now(self) -> float:
        """Engine seconds."""
        return (self._monotonic() - self._started_at) / self.time_scale

    def wall_s(self, engine_s: float) -> float:
        """A duration in engine seconds as wall seconds."""
        return engine_s * self.time_scale

    def wall_ns(self, at: float) -> int:
        """An engine instant on the wall's monotonic clock, nanoseconds."""
        return int((self._started_at + at * self.time_scale) * 1e9)


class Submission(NamedTuple):
    """A request on its way into the engine, lengths as `Engine.submit` takes them."""

    at: float
    request_id: str
    prompt_tokens: int
    max_tokens: int
    output_tokens: int


class StopRequest(NamedTuple):
    """The wish to end a request early."""

    at: float
    request_id: str


class Started(NamedTuple):
    """A request's first prefill began.

    Attributes:
        request_id: the request.
        wait_s: engine seconds since its submission.
        wait_iterations: iterations that ran in between.
    """

    request_id: str
    wait_s: float
    wait_iterations: int


@dataclass(slots=True)
class Tick:
    """What one look at the schedule brought.

    Attributes:
        due_at: when to look again, engine seconds; None while there is nothing to do.
        finished: the iteration that has ended.
        started: requests first prefilled by the iteration that has begun.
        refused: requests that the engine does not take, each with the reason.
    """

    due_at: float | None = None
    finished: Iteration | None = None
    started: list[Started] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


class PacedEngine:
    """An engine and its schedule. Time is an argument; only `post` may be called by other threads."""

    def __init__(self, engine: Engine) -> None:
        """Own an idle engine."""
        self._engine = engine
        self._inbox: deque[Submission | StopRequest] = deque()
        self._running: Iteration | None = None
        self._boundary = 0.0  # end of the latest iteration
        self._unstarted: dict[str, None] = {}  # in the order of submission, which is that of their start
        self._num_waits = 0

    def post(self, message: Submission | StopRequest) -> None:
        """Leave a message for the next iteration that begins at or after its instant."""
        self._inbox.append(message)

    def advance(self, now: float) -> Tick:
        """End the iteration that is over by `now`, and begin the next at the instant where it ended."""
        if self._running is not None and now < self._running.ended_at:
            return Tick(due_at=self._running.ended_at)
        tick = Tick(finished=self._running)
        self._running = None
        self._take_in(self._boundary, tick)
        while self._engine.idle and self._inbox:
            self._boundary = max(self._boundary, self._inbox[0].at)
            self._take_in(self._boundary, tick)
        if not self._engine.idle:
            self._running = self._engine.step(self._boundary)
            self._boundary = tick.due_at = self._running.ended_at
            tick.started = self._newly_started(self._running)
        return tick

    def _take_in(self, until: float, tick: Tick) -> None:
        """Hand the messages up to that instant to the engine."""
        while self._inbox and self._inbox[0].at <= until:
            message = self._inbox.popleft()
            if isinstance(message, StopRequest):
                self._engine.stop(message.request_id)
                continue
            try:
                self._engine.submit(*message[1:], now=message.at)
            except ValueError as error:
                tick.refused.append((message.request_id, str(error)))
            else:
                self._unstarted[message.request_id] = None

    def _newly_started(self, iteration: Iteration) -> list[Started]:
        """Match the engine's new queue waits, which bear no name, with requests: both come in order."""
        for emission in iteration.emissions:
            if emission.stopped:
                self._unstarted.pop(emission.request_id, None)
        waits = self._engine.queue_waits[self._num_waits :]
        self._num_waits += len(waits)
        started = []
        for wait_s, wait_iterations in waits:
            request_id = next(iter(self._unstarted))
            del self._unstarted[request_id]
            started.append(Started(request_id, wait_s, wait_iterations))
        return started


class EngineLoop:
    """Runs a `PacedEngine` in a thread of its own.

    `on_tick(tick, late_s)` is called in that thread; `late_s` is how late the finished iteration was noticed,
    in wall seconds. What it does, sending tokens for instance, may delay the next tick and then shows up as
    lateness.
    """

    def __init__(self, engine: Engine, clock: WallClock, on_tick: Callable[[Tick, float], None]) -> None:
        """Start the thread."""
        self._paced = PacedEngine(engine)
        self._clock = clock
        self._on_tick = on_tick
        self._posted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def post(self, message: Submission | StopRequest) -> None:
        """Leave a message for the engine, from any thread."""
        self._paced.post(message)
        self._posted.set()

    def close(self) -> None:
        """End the loop after the tick under way; what is unfinished stays unfinished."""
        self._closed = True
        self._posted.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            now = self._clock.now()
            tick = self._paced.advance(now)
            late_s = self._clock.wall_s(now - tick.finished.ended_at) if tick.finished else 0.0
            self._on_tick(tick, late_s)
            if tick.due_at is None:
                self._posted.wait()
                self._posted.clear()
            else:
                time.sleep(max(0.0, self._clock.wall_s(tick.due_at - self._clock.now())))
