"""`QueueLimits`: how much may wait in the gateway; `Waiting` counts it.

Who is refused is told when to come again: each one mean predicted time of a waiting request later than the
one before, so that a burst comes back no faster than the queue shortens; but none later than all that waits
now will have started: the next ones get the same times again. So callers who try again whatever they are told
do not push the times of others away. Unlike the limit in predicted seconds (`scheduling.overload`) nothing is
kept free for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sagesched_gateway.errors import QueueFullError

LEAST_RETRY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Limits.

    Attributes:
        requests: most requests waiting.
        bytes: most bytes of their messages.
        code: gRPC status code of the refusal.
    """

    requests: int = 10_000
    bytes: int = 512 * 2**20
    code: str = "UNAVAILABLE"


class Waiting:
    """The bytes of what has not been sent to the engine.

    Attributes:
        limits: may be replaced at any time; what waits already stays.
        bytes: of all messages kept here that are not yet started.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.limits = limits
        self.bytes = 0
        self._told_until = 0.0

    def check(self, num_waiting: int, num_bytes: int, backlog_s: Callable[[], float], now: float) -> None:
        """Refuse one more message of that size where it is too much.

        Args:
            num_waiting: requests that wait.
            num_bytes: of the message.
            backlog_s: predicts the seconds until all of them have started; asked only for a refusal.
            now: seconds.

        Raises:
            QueueFullError: it is too much.
        """
        limits = self.limits
        if num_waiting >= limits.requests:
            problem = f"{num_waiting} requests wait, which is the limit"
        elif self.bytes + num_bytes > limits.bytes:
            problem = (
                f"requests of {self.bytes} bytes wait, and {num_bytes} more are beyond the limit of "
                f"{limits.bytes}"
            )
        else:
            return
        all_s = backlog_s()
        each_s = all_s / max(num_waiting, 1)
        self._told_until = max(self._told_until, now) + each_s
        if self._told_until > now + all_s:
            self._told_until = now + each_s
        retry_after_s = max(self._told_until - now, LEAST_RETRY_S)
        raise QueueFullError(problem, code=limits.code, retry_after_s=retry_after_s)
