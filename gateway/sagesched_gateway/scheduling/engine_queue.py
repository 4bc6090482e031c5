"""`EngineQueue`: whether requests wait inside the engine, seen from outside by the time to their first token.

The engine prefills what it is sent in the next iteration that it begins, if there is room. So its first token
comes with the end of the iteration after the one under way, and what comes later has waited inside:

    by iterations: `IterationClock.confirmed` at the first token − the clock at the start − 2
    by time: (first token − due) / iteration,
        due = start + `DUE_ITERATIONS` · iteration + prefill_s · (unprefilled at the start + sent since)

The smaller of both counts. Iterations alone could be guessed wrongly while few answers are streamed; time
alone would take it for waiting that the engine prefills once more what it had paused, which nobody sees. No
metrics are needed, only answers that are streamed: one in a single piece never shows a first token, and is
not measured.

While somebody is overdue, nobody else is sent: the engine is first in, first out, so the next one would only
wait behind.

`prefill_s` is measured: running median of (time to first token − `USUAL_ITERATIONS` · iteration) / tokens, of
those that did not wait.
"""

from __future__ import annotations

from typing import NamedTuple

DUE_ITERATIONS = 2.5
USUAL_ITERATIONS = 1.5
LATE_ITERATIONS = 2.0
"""Later than due by more than this may be waiting; less is the way there and back."""

_MEASURABLE_TOKENS = 256
_STEP = 0.03


class Sent(NamedTuple):
    """A request whose first token has not come.

    Attributes:
        at: instant of its start, seconds.
        clock: the same, in iterations.
        tokens_before: prompt tokens ever sent before it, less those prefilled by then.
    """

    at: float
    clock: float
    tokens_before: int


class EngineQueue:
    """Requests sent and not prefilled, of which the engine streams the answer."""

    __slots__ = ("_sent", "_sent_tokens", "iteration_s", "prefill_s")

    def __init__(self, iteration_s: float, prefill_s: float) -> None:
        """Start empty.

        Args:
            iteration_s: duration of an iteration, seconds.
            prefill_s: seconds per prompt token, as first believed.
        """
        self.iteration_s = iteration_s
        self.prefill_s = prefill_s
        self._sent: dict[str, Sent] = {}
        self._sent_tokens = 0

    def started(self, job_id: str, tokens: int, unprefilled: int, now: float, clock: float) -> None:
        """A request was sent while so many tokens of others were not prefilled yet."""
        self._sent[job_id] = Sent(now, clock, self._sent_tokens - unprefilled)
        self._sent_tokens += tokens

    def count_from(self, now: float, clock: float) -> None:
        """The clock can be trusted from now on: what was sent before counts as sent now."""
        self._sent = {job_id: sent._replace(at=now, clock=clock) for job_id, sent in self._sent.items()}

    def first_token(self, job_id: str, now: float, clock: float) -> float | None:
        """Iterations that a request has waited inside, 0 when none; None where it was not measured."""
        sent = self._sent.pop(job_id, None)
        if sent is None:
            return None
        wait = self._wait(sent, now, clock)
        tokens = self._sent_tokens - sent.tokens_before
        if tokens >= _MEASURABLE_TOKENS and wait <= LATE_ITERATIONS:
            measured = (now - sent.at - USUAL_ITERATIONS * self.iteration_s) / tokens
            self.prefill_s *= 1 + _STEP if measured > self.prefill_s else 1 - _STEP
        return wait

    def forget(self, job_id: str) -> None:
        """A request has left without a first token."""
        self._sent.pop(job_id, None)

    def overdue(self, now: float, clock: float, late: float = LATE_ITERATIONS) -> str | None:
        """The one sent first, if it is late by more than so many iterations."""
        if not self._sent:
            return None
        job_id, sent = next(iter(self._sent.items()))
        return job_id if self._wait(sent, now, clock) > late else None

    def _wait(self, sent: Sent, now: float, clock: float) -> float:
        by_time = (now - self._due_at(sent)) / self.iteration_s
        return max(min(by_time, clock - sent.clock - 2.0), 0.0)

    def _due_at(self, sent: Sent) -> float:
        tokens = self._sent_tokens - sent.tokens_before
        return sent.at + DUE_ITERATIONS * self.iteration_s + self.prefill_s * tokens
