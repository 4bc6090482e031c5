"""`Reservation`: a job in flight, and what it holds of the KV pool by now.

    tokens = min(I + output tokens last heard of + 1 to come + iterations since, I + max_tokens)
    blocks = ⌈tokens / block⌉

Iterations come from `IterationClock`, which all jobs' reports drive together; of a job that streams nothing,
from the end of its prefill as assumed. A job that the engine has paused keeps its count: it will be resumed
before anything sent later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sagesched_gateway.scheduling.iteration_clock import Ticking

_ROUNDING = 1e-6


class Need(NamedTuple):
    """What a job asks of the engine: prompt length and cap on output, tokens; and whether it streams.

    The first token of an answer that comes in one piece is never seen.
    """

    prompt_tokens: int
    max_tokens: int
    streams: bool = False

    @property
    def most_tokens(self) -> int:
        """What it can come to hold."""
        return self.prompt_tokens + self.max_tokens


class Held(NamedTuple):
    """A job in flight, as estimated by now.

    Attributes:
        job_id: the job.
        tokens: prompt and output that it holds, the token to come included.
        most_tokens: what it can come to hold.
    """

    job_id: str
    tokens: float
    most_tokens: int


class Now(NamedTuple):
    """An instant, as jobs in flight are estimated by.

    Attributes:
        now: seconds.
        clock: iterations.
        iteration_s: duration of one, seconds.
    """

    now: float
    clock: float
    iteration_s: float


@dataclass(slots=True)
class Reservation:
    """One job in flight.

    Attributes:
        need: what it asked for.
        tokens: what it held when last heard of, the token to come included.
        started_at: instant of its start.
        due_at: the end of its prefill, as assumed.
        most_blocks: KV blocks that it can come to hold.
        heard_at: the clock when it was last heard of, iterations; None before its first token.
        ticking: its reports, for the clock.
        blocks: KV blocks counted for it, headroom included.
        prefilled: whether its prefill is known or assumed to be over.
    """

    need: Need
    tokens: int
    started_at: float
    due_at: float
    most_blocks: int
    heard_at: float | None = None
    ticking: Ticking = field(default_factory=Ticking)
    blocks: int = 0
    prefilled: bool = False

    def tokens_by(self, moment: Now) -> float:
        """Tokens that it holds, silence counted as steady progress."""
        if self.heard_at is None:
            since = max(moment.now - self.due_at, 0.0) / moment.iteration_s
        else:
            since = max(moment.clock - self.heard_at, 0.0)
        return min(self.tokens + since, self.need.most_tokens)

    def blocks_by(self, moment: Now, ahead: float, block_tokens: int) -> int:
        """KV blocks that it will hold so many iterations later."""
        tokens = self.tokens_by(moment) + ahead
        return min(math.ceil(tokens / block_tokens - _ROUNDING), self.most_blocks)


def blocks_of(tokens: int, block_tokens: int) -> int:
    """KV blocks that so many tokens take."""
    return -(-tokens // block_tokens)


def held_blocks(reservations: Iterable[Reservation], moment: Now, block_tokens: int) -> int:
    """Sum of `blocks_by` with nothing ahead; written out, since each start does this for all that runs."""
    now, clock, iteration_s = moment
    ceil, total = math.ceil, 0
    for held in reservations:
        tokens: float = held.tokens
        if held.heard_at is None:
            if now > held.due_at:
                tokens += (now - held.due_at) / iteration_s
        elif clock > held.heard_at:
            tokens += clock - held.heard_at
        blocks, most = ceil(tokens / block_tokens - _ROUNDING), held.most_blocks
        total += blocks if blocks < most else most
    return total
