"""`Outcome`: what came of one look at a pool's children, gathered while they are written."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_operator.cluster.errors import ApiError


@dataclass(slots=True)
class Outcome:
    """What came of applying.

    Attributes:
        num_writes: objects written or deleted.
        troubles: (reason, message) of children that could not be had.
        refused: what the API server said of the first child that it refuses for good; None for nothing.
        is_unfinished: whether something is missing that pods cannot do without, and is tried again.
        look_again_s: when to look again although nothing may happen until then; None for not.
    """

    num_writes: int = 0
    troubles: list[tuple[str, str]] = field(default_factory=list)
    refused: ApiError | None = None
    is_unfinished: bool = False
    look_again_s: float | None = None

    def again(self, after_s: float) -> None:
        """Look again, at the latest after so long."""
        self.look_again_s = min(after_s, self.look_again_s or after_s)
