"""`WaitLessons`: what the engine's room is learned from: who was sent with how much taken, and who waited.

One lesson per request that streams, when its first token comes or as soon as it is overdue, whichever is
first: a wait may take hundreds of iterations. One late by up to `SURE_ITERATIONS` alone takes no room, since
a busy machine holds messages up for so long; but none is added either until as many as usual came in time.
What was sent before the last wait was noticed is no further proof of it. Nothing is believed before the
clock is settled; who was sent before that can only be found waiting, counted from then on.

**Trials.** Whoever takes more than anybody did without a wait may wait, and all that are sent with it wait
behind it. So of such requests only `TRIED_AT_ONCE` of those in flight, one at least, are without an answer at
a time. An engine of fifty places is tried one by one, one of a thousand twenty at a time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sagesched_gateway.scheduling.engine_queue import LATE_ITERATIONS, EngineQueue
from sagesched_gateway.scheduling.iteration_clock import IterationClock
from sagesched_gateway.scheduling.learned_room import LearnedRoom

SURE_ITERATIONS = 4.0
TRIED_AT_ONCE = 0.02


class Taken(NamedTuple):
    """What was taken when a request was sent, itself included.

    Attributes:
        slots: places in the engine.
        blocks: KV blocks.
    """

    slots: int
    blocks: int


class _Sent(NamedTuple):
    """A request without an answer: when it was sent, seconds, with what taken, and whether as a trial."""

    at: float
    taken: Taken
    is_trial: bool


class WaitLessons:
    """Of one engine.

    Attributes:
        room: what was learned.
    """

    def __init__(self, clock: IterationClock, prefill_s: float) -> None:
        """Start with nothing learned.

        Args:
            clock: is told of each report before this is.
            prefill_s: seconds per prompt token, as first believed.
        """
        self.room = LearnedRoom()
        self._clock = clock
        self._queue = EngineQueue(clock.iteration_s, prefill_s)
        self._sent: dict[str, _Sent] = {}
        self._num_trials = 0
        self._waited_at = -math.inf
        self._settled_at = math.inf

    def started(self, job_id: str, prompt_tokens: int, unprefilled: int, taken: Taken, now: float) -> None:
        """A request that streams was sent, while so many tokens of others were not prefilled yet."""
        self._queue.started(job_id, prompt_tokens, unprefilled, now, self._clock.at(now))
        is_trial = self.room.is_new(*taken)
        self._sent[job_id] = _Sent(now, taken, is_trial)
        self._num_trials += is_trial

    def reported(self, job_id: str, now: float) -> None:
        """A request has told of tokens, which the clock knows."""
        if self._settled_at == math.inf and self._clock.is_settled:
            self._settled_at = now
            self._queue.count_from(now, self._clock.at(now))
        sent = self._forget(job_id)
        if sent is not None:
            waited = self._queue.first_token(job_id, now, self._clock.confirmed)
            if waited is not None and LATE_ITERATIONS < waited <= SURE_ITERATIONS:
                self.room.hesitate()
            elif waited is not None:
                self._learn(sent, waited > SURE_ITERATIONS, now)
        overdue = self._queue.overdue(now, self._clock.confirmed, SURE_ITERATIONS)
        if overdue is not None:
            self._learn(self._sent[overdue], True, now)
        self._queue.iteration_s = self._clock.shortest_s

    def forget(self, job_id: str) -> None:
        """A request has left, or is not to be waited for any more."""
        self._forget(job_id)
        self._queue.forget(job_id)

    def is_queue_inside(self, now: float) -> bool:
        """Whether somebody sent earlier must be waiting inside the engine, so that the next one would too."""
        return self._queue.overdue(now, self._clock.confirmed) is not None

    def has_enough_trials(self, num_in_flight: int) -> bool:
        """Whether nobody is to be sent now who would be one more trial."""
        return self._num_trials >= max(TRIED_AT_ONCE * num_in_flight, 1.0)

    def check(self) -> None:
        """Raise AssertionError where the number of trials is not their sum."""
        assert self._num_trials == sum(sent.is_trial for sent in self._sent.values())

    def _forget(self, job_id: str) -> _Sent | None:
        sent = self._sent.pop(job_id, None)
        if sent is not None:
            self._num_trials -= sent.is_trial
        return sent

    def _learn(self, sent: _Sent, has_waited: bool, now: float) -> None:
        if sent.at < self._waited_at or not self._clock.is_settled:
            return
        if has_waited:
            self._waited_at = now
        elif sent.at < self._settled_at:
            return
        self.room.measured(has_waited, *sent.taken)
