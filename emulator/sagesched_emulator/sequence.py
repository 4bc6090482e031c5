"""`Sequence`: one request inside the engine, and `Calendar`: which of them need attention in which iteration.

A scheduled sequence grows by exactly one token per iteration. So the iterations in which something happens to
it (a new KV block, an emission, its end) are known the moment it is prefilled, and the engine touches it only
then. That makes a virtual run cost as much as its events, not as much as its tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

NEVER = -1


@dataclass(slots=True, eq=False)
class Sequence:
    """A request's lengths and progress.

    Attributes:
        request_id: unique in the engine.
        ordinal: place in the order of submission.
        prompt_tokens: prompt length.
        max_tokens: output tokens that the engine has been told to expect at most.
        target_tokens: output tokens after which it ends; the engine's admission never looks at it.
        submitted_at: instant of submission, seconds.
        submitted_iteration: iterations the engine had run by then.
        prefilled_in: iteration of its latest prefill; `NEVER` before the first.
        tokens_at_prefill: output tokens it had when that prefill began.
        emitted_tokens: output tokens delivered.
        grows_in: iteration that needs one more block for it; `NEVER` when it does not run or all is reserved.
        emits_in: iteration after which it emits next; `NEVER` while it is not running.
    """

    request_id: str
    ordinal: int
    prompt_tokens: int
    max_tokens: int
    target_tokens: int
    submitted_at: float
    submitted_iteration: int
    prefilled_in: int = NEVER
    tokens_at_prefill: int = 0
    emitted_tokens: int = 0
    grows_in: int = NEVER
    emits_in: int = NEVER

    def tokens_after(self, iteration: int) -> int:
        """Output tokens at the end of an iteration since its latest prefill."""
        return self.tokens_at_prefill + iteration - self.prefilled_in + 1

    def iteration_of(self, token: int) -> int:
        """The iteration that ends with this output token, if it runs on without a pause."""
        return self.prefilled_in + token - self.tokens_at_prefill - 1

    def next_emission(self, total_tokens: int, interval: int) -> int:
        """Output tokens at the emission after `total_tokens`: the first, each `interval`-th, the last."""
        if self.emitted_tokens == 0:
            return 1
        return min(self.target_tokens, (total_tokens // interval + 1) * interval)


_BY_ORDINAL = attrgetter("ordinal")


class Calendar:
    """Sequences due in an iteration to come."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        """Start empty."""
        self._due: dict[int, dict[str, Sequence]] = {}

    def put(self, iteration: int, sequence: Sequence) -> None:
        """Make the sequence due in that iteration."""
        self._due.setdefault(iteration, {})[sequence.request_id] = sequence

    def discard(self, iteration: int, sequence: Sequence) -> None:
        """Take the sequence out again, if it is there."""
        due = self._due.get(iteration)
        if due is not None:
            due.pop(sequence.request_id, None)

    def take(self, iteration: int) -> list[Sequence]:
        """Remove and return those due in that iteration, in the order of submission."""
        due = self._due.pop(iteration, None)
        if not due:
            return []
        return sorted(due.values(), key=_BY_ORDINAL) if len(due) > 1 else list(due.values())
