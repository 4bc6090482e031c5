"""`LearnedRoom`: how much fits into an engine that does not tell, learned from who had to wait inside.

Additive increase, multiplicative decrease, one limit each for slots and for KV blocks. A request that was
started with `taken` of a resource, itself included, and

    waited:      limit = min(limit, taken) · `DECREASE`, for the resource that is to blame
    did not:     after `patience` such starts near the limit (≥ `NEAR` of it), limit · `INCREASE`, at most
                 what is known

A wait says nothing about room when more was taken at another time without one (`UNUSUAL` of the most), when
much of what is known stands empty (`UNUSUAL` of it, or `FULL` where metrics keep checking it), or when hardly
anything runs (`FEW`): then a model was loading, or a machine was slow. Only `INSISTENT` such waits in a row,
nobody in between without, are believed.

To blame is the resource of which more was taken, relative to the most that was ever taken without a wait
(which fades by `FADE` per start): a wait with few but long requests is for KV, one with many short ones for
slots. Slots must stand out by more than `LESS_LIKELY`: where both are about as full, KV is what an engine
runs out of first, and a step of one slot is a large one. What is known for certain is not blamed while
something is not.

Once `ENOUGH_FAILURES` are remembered beside the present one, the resource that fails at about the same amount
each time is to blame, whatever of the other is taken then: slots that are all taken with now 3,000 and now
4,500 blocks, or a pool that is full with now 30 and now 60 requests.

Until something has failed, a limit grows by `LEAP` after few starts; near a level that has failed before,
patience doubles each time, so that in the long run one request in hundreds pays for the probing.

Where both limits are unknown and both were full, the wrong one may be blamed. Then the other is never full
again, since the one blamed binds first, and nobody waits. So a limit is *doubted* while start after start
near it finds less than `UNUSUAL` of the other taken that was taken whenever it failed: it has never failed
like that, and grows as if disproved. Should it fail so, it was to blame, and is not doubted any more at about
that level.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

DECREASE = 0.985
INCREASE = 1.005
LEAP = 1.1
NEAR = 0.9
FADE = 0.9995
TRIED = 0.99
"""What takes more than this share of the most that was taken without a wait is still a trial."""

FIRST_PATIENCE = 6
PATIENCE = 60
MOST_PATIENCE = 960
UNUSUAL = 0.8
FULL = 0.93
LESS_LIKELY = 0.93
FEW = 4
INSISTENT = 8
TRUSTED = 6
"""So many times sooner a limit grows back towards a size that is known."""

ENOUGH_FAILURES = 2
REMEMBERED = 5
STEADY = 0.5
"""What failed at amounts spread by less than this share of the other's spread is to blame."""

DISPROVED = 1.01
DISPROVED_PATIENCE = 15
DISPROVED_INCREASE = 1.03
_AGAIN = 0.03


class Limit:
    """What fits of one resource.

    Attributes:
        known: what the engine or the settings say; None where they do not.
        is_metered: metrics are up to date, and what is known is held against them.
        first: where to begin when nothing is known; infinity for no limit.
        name: of the resource, for status.
    """

    __slots__ = (
        "_doubts",
        "_failed_at",
        "_failed_beside",
        "_is_proven_guilty",
        "_patience",
        "_proven",
        "_since",
        "_value",
        "first",
        "is_metered",
        "known",
        "name",
    )

    def __init__(self, name: str, first: float) -> None:
        self.name = name
        self.known: float | None = None
        self.is_metered = False
        self.first = first
        self._value: float | None = None
        self._proven = 0.0
        self._since = 0
        self._patience = PATIENCE
        self._failed_at: float | None = None
        self._failed_beside = 0.0
        self._doubts = 0
        self._is_proven_guilty = False

    @property
    def value(self) -> float:
        """What may be taken now."""
        value = self._value
        if value is None:
            value = self.first if self.known is None else self.known
        return value if self.known is None else min(value, self.known)

    @property
    def is_learned(self) -> bool:
        """Whether measured waits have set it below what is known, or nothing is known."""
        return math.isfinite(self.value) and self.value != self.known

    def is_new(self, taken: float) -> bool:
        """Whether hardly anybody took so much without a wait, and nothing else says that it fits."""
        if self._value is None:
            told = self.first if self.known is None else self.known
            return taken > max(told, self._proven)
        return taken > TRIED * self._proven

    def strain(self, taken: float) -> float:
        """How unusual so much of it is; 0 where it cannot be what was lacking."""
        if self.known is not None and taken < (FULL if self.is_metered else UNUSUAL) * self.known:
            return 0.0
        return taken / self._proven if self._proven else math.inf

    def worked(self, taken: float, beside: float) -> None:
        """A request was started with so much taken, and of the other resource, and did not wait."""
        self._proven = max(self._proven * FADE, taken)
        value = self.value
        if taken < NEAR * value or not math.isfinite(value) or value == self.known:
            return
        self._since += 1
        self._doubts = self._doubts + 1 if self._is_doubted(beside) else 0
        patience, factor = self._pace(value)
        if self._since >= patience:
            self._since = 0
            self._value = value * factor

    def failed(self, taken: float, beside: float) -> None:
        """One waited."""
        before = self._failed_at
        again = before is not None and abs(taken - before) < _AGAIN * before
        is_new = before is None or taken < NEAR * before
        self._patience = min(2 * self._patience, MOST_PATIENCE) if again else PATIENCE
        self._failed_at = taken
        self._is_proven_guilty = not is_new and (self._is_proven_guilty or self._is_doubted(beside))
        self._failed_beside = beside if is_new else min(self._failed_beside, beside)
        self._since = self._doubts = 0
        self._value = max(min(self.value, taken) * DECREASE, 1.0)
        self._proven = min(self._proven, self._value)

    def hesitate(self) -> None:
        """Somebody may have waited."""
        self._since = 0

    def _pace(self, value: float) -> tuple[int, float]:
        """After how many starts to grow, and by which factor."""
        failed_at = self._failed_at
        if failed_at is None or value < failed_at / LEAP:
            return FIRST_PATIENCE, LEAP
        if value > failed_at * DISPROVED or self._doubts >= DISPROVED_PATIENCE:
            return DISPROVED_PATIENCE, DISPROVED_INCREASE
        patience = self._patience if self.known is None else self._patience // TRUSTED
        return patience, INCREASE

    def _is_doubted(self, beside: float) -> bool:
        """Whether it may have been blamed for want of the other, of which so much is taken now."""
        return not self._is_proven_guilty and beside < UNUSUAL * self._failed_beside

    def forget(self) -> None:
        """The engine is another one."""
        self._value = None
        self._proven = 0.0
        self._since = 0
        self._patience = PATIENCE
        self._failed_at = None


class LearnedRoom:
    """Both limits of one engine.

    Attributes:
        slots: requests in flight.
        blocks: KV blocks, as the ledger counts them.
        num_waits: requests so far that had to wait.
    """

    def __init__(self) -> None:
        self.slots = Limit("slots", math.inf)
        self.blocks = Limit("kv", math.inf)
        self.num_waits = 0
        self._in_a_row = 0
        self._failures: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    @property
    def usable_blocks(self) -> int | None:
        """KV blocks that may be taken; None for any number."""
        return int(self.blocks.value) if math.isfinite(self.blocks.value) else None

    def is_new(self, slots: float, blocks: float) -> bool:
        """Whether to take so much is a trial."""
        return self.slots.is_new(slots) or self.blocks.is_new(blocks)

    def measured(self, waited: bool, slots: float, blocks: float) -> None:
        """A request started with so much taken has its first token."""
        # What is known is not blamed wrongly for what is not: nothing to doubt beside it.
        beside_slots = blocks if self.blocks.known is None else math.inf
        beside_blocks = slots if self.slots.known is None else math.inf
        taken = ((self.blocks, blocks, beside_blocks), (self.slots, slots, beside_slots))
        if not waited:
            self._in_a_row = 0
            for limit, amount, beside in taken:
                limit.worked(amount, beside)
            return
        self.num_waits += 1
        self._in_a_row += 1
        suspects: Sequence[tuple[Limit, float, float]] = [t for t in taken if t[0].known is None] or taken
        limit, amount, beside = self._to_blame(suspects)
        is_plausible = limit.strain(amount) >= UNUSUAL or self._in_a_row >= INSISTENT
        if slots > FEW and is_plausible:
            limit.failed(amount, beside)
            self._failures.append((blocks, slots))

    def hesitate(self) -> None:
        """A request may have waited, or been held up: nothing grows until as many again did not."""
        self.slots.hesitate()
        self.blocks.hesitate()

    def _to_blame(self, suspects: Sequence[tuple[Limit, float, float]]) -> tuple[Limit, float, float]:
        """The one that was lacking, of blocks and slots in this order, or of one of them."""
        amounts = tuple(amount for _, amount, _ in suspects)
        if len(suspects) > 1 and len(self._failures) >= ENOUGH_FAILURES:
            spreads = [1 - min(taken) / max(taken) for taken in zip(*self._failures, amounts, strict=True)]
            for suspect, own, other in zip(suspects, spreads, reversed(spreads), strict=True):
                if own < STEADY * other and suspect[0].strain(suspect[1]):
                    return suspect
        return max(suspects, key=lambda suspect: self._suspicion(*suspect[:2]))

    def _suspicion(self, limit: Limit, amount: float) -> float:
        return limit.strain(amount) * (LESS_LIKELY if limit is self.slots else 1.0)

    def forget(self) -> None:
        """The engine is another one."""
        self.slots.forget()
        self.blocks.forget()
        self._failures.clear()
