"""What a load client saw: one timing per request, and how far the client itself can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, field

LATE_S = 0.1
"""A load is late when one send or one tick in a hundred came later than this (wall seconds)."""


@dataclass(slots=True, kw_only=True)
class RequestTiming:
    """What happened to one request; instants are wall seconds after the load's start.

    Attributes:
        id: the request.
        due_at: when it had to be sent.
        sent_at: when it was sent; None if never.
        first_at: when its first message came; None if none came.
        last_at: when its last message came; None if none came.
        num_chunks: messages received.
        error: what went wrong, in one line; None for a complete answer.
    """

    id: str
    due_at: float
    sent_at: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    num_chunks: int = 0
    error: str | None = None

    @property
    def ttft_s(self) -> float:
        """Arrival to first message, wall seconds; only for a complete answer."""
        assert self.first_at is not None
        return self.first_at - self.due_at

    @property
    def ttlt_s(self) -> float:
        """Arrival to last message, wall seconds; only for a complete answer."""
        assert self.last_at is not None
        return self.last_at - self.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """All timings of a load, and how far the client itself can be trusted.

    Attributes:
        started_at: Unix time of the load's start.
        ended_at: Unix time of the last answer's end.
        timings: one per request, in order of arrival.
        send_late_p99_s: 99th percentile of `sent_at - due_at`, wall seconds.
        loop_late_p99_s: 99th percentile of how late the client's own loop woke, wall seconds.
    """

    started_at: float
    ended_at: float
    timings: list[RequestTiming] = field(default_factory=list)
    send_late_p99_s: float = 0.0
    loop_late_p99_s: float = 0.0

    @property
    def late_p99_s(self) -> float:
        """The larger of both kinds of lateness, wall seconds."""
        return max(self.send_late_p99_s, self.loop_late_p99_s)

    @property
    def late(self) -> bool:
        """True where the client was starved, so that its figures must not be used."""
        return self.late_p99_s > LATE_S

    @property
    def completed(self) -> list[RequestTiming]:
        """Timings of complete answers."""
        return [timing for timing in self.timings if timing.error is None]
