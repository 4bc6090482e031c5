"""`QueueLimits`: how much may wait in the gateway; `Waiting` counts it."""

from __future__ import annotations

from dataclasses import dataclass

from sagesched_gateway.errors import QueueFullError


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

    def check(self, num_waiting: int, num_bytes: int) -> None:
        """Raise QueueFullError where one more message of that size is too much."""
        limits = self.limits
        if num_waiting >= limits.requests:
            raise QueueFullError(f"{num_waiting} requests wait, which is the limit", code=limits.code)
        if self.bytes + num_bytes > limits.bytes:
            raise QueueFullError(
                f"requests of {self.bytes} bytes wait, and {num_bytes} more are beyond the limit of "
                f"{limits.bytes}",
                code=limits.code,
            )
