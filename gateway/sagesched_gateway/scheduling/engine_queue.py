"""`EngineQueue`: whether requests wait inside the engine, seen from outside by the time to their first token.

The engine prefills what it is sent in the next iteration that it begins, if there is room. So a first token is
due one iteration under way, one iteration of its own and the prefill of all that was sent with it later:

    due = start + `DUE_ITERATIONS` · iteration + prefill_s · (tokens unprefilled at the start + sent since)

What comes later than that has waited inside for about (late / iteration) iterations. No metrics are needed,
only answers that are streamed: one in a single piece never shows a first token, and is not measured.

While somebody is overdue, nobody else is sent: the engine is first in, first out, so the next one would only
wait behind.

`prefill_s` is measured: the running median of (time to first token − `USUAL_ITERATIONS` · iteration) / tokens.
"""

from __future__ import annotations

from typing import NamedTuple

DUE_ITERATIONS = 2.5
USUAL_ITERATIONS = 1.5
LATE_ITERATIONS = 2.0
"""Later than due by more than this counts as having waited: less may be the way there and back."""

_MEASURABLE_TOKENS = 256
_STEP = 0.03


class Sent(NamedTuple):
    """A request whose first token has not come.

    Attributes:
        at: instant of its start, seconds.
        tokens_before: prompt tokens ever sent before it, less those prefilled by then.
    """

    at: float
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

    def started(self, job_id: str, tokens: int, unprefilled: int, now: float) -> None:
        """A request was sent while so many tokens of others were not prefilled yet."""
        self._sent[job_id] = Sent(now, self._sent_tokens - unprefilled)
        self._sent_tokens += tokens

    def first_token(self, job_id: str, now: float) -> float | None:
        """Iterations that a request has waited inside, 0 when none; None where it was not measured."""
        sent = self._sent.pop(job_id, None)
        if sent is None:
            return None
        late_s = now - self._due_at(sent)
        tokens = self._sent_tokens - sent.tokens_before
        if tokens >= _MEASURABLE_TOKENS:
            measured = (now - sent.at - USUAL_ITERATIONS * self.iteration_s) / tokens
            self.prefill_s *= 1 + _STEP if measured > self.prefill_s else 1 - _STEP
        return max(late_s / self.iteration_s, 0.0)

    def forget(self, job_id: str) -> None:
        """A request has left without a first token."""
        self._sent.pop(job_id, None)

    def overdue_at(self) -> float | None:
        """When the one sent first will be overdue; None while nobody is awaited."""
        if not self._sent:
            return None
        return self._due_at(next(iter(self._sent.values()))) + LATE_ITERATIONS * self.iteration_s

    def _due_at(self, sent: Sent) -> float:
        tokens = self._sent_tokens - sent.tokens_before
        return sent.at + DUE_ITERATIONS * self.iteration_s + self.prefill_s * tokens
