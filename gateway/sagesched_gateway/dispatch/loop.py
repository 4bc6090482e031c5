"""`SchedulingLoop`: the sole owner of the `Scheduler`. Events go in, commands come out and are performed.

Everything happens on the event loop's one thread, so the core needs no lock. An event posted while another is
handled (a command performed at once may end a request) waits for its turn: the core never sees nested calls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from sagesched_gateway.scheduling.commands import Command, Evict, Reject, Start, Stop, WakeAt
from sagesched_gateway.scheduling.events import Event, Woken


class Core(Protocol):
    """The part of `Scheduler` that drives."""

    def handle(self, event: Event, now: float) -> Iterable[Command]:
        """Take an event, answer with commands."""
        ...


class Performer(Protocol):
    """Does what the core asks; no call waits, none raises."""

    def start(self, job_id: str) -> None:
        """Send the job to the engine."""
        ...

    def stop(self, job_id: str) -> None:
        """Cancel the running job in the engine."""
        ...

    def evict(self, job_id: str) -> None:
        """Cancel the running job in the engine and keep its caller, see `Evict`."""
        ...

    def reject(self, refusal: Reject) -> None:
        """Refuse the job; the core has forgotten it."""
        ...


class SchedulingLoop:
    """Feeds the core and performs its commands."""

    def __init__(self, core: Core, performer: Performer) -> None:
        """Bind to the running event loop, whose clock is the core's `now`."""
        self._core = core
        self._performer = performer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Event] = deque()
        self._is_busy = False
        self._alarm: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """Seconds on the loop's clock."""
        return self._loop.time()

    def post(self, event: Event) -> None:
        """Let the core handle an event: at once, or right after the one being handled."""
        self._waiting.append(event)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._waiting:
                for command in self._core.handle(self._waiting.popleft(), self._loop.time()):
                    self._perform(command)
        finally:
            self._is_busy = False

    def close(self) -> None:
        """Wake no more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _perform(self, command: Command) -> None:
        match command:
            case Start(job_id):
                self._performer.start(job_id)
            case Stop(job_id):
                self._performer.stop(job_id)
            case Evict(job_id):
                self._performer.evict(job_id)
            case Reject():
                self._performer.reject(command)
            case WakeAt(at):
                self.close()
                self._alarm = self._loop.call_at(at, self.post, Woken())
