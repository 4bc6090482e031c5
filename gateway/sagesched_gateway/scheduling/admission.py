"""`Ledger`: what of the engine is taken, and whether one more request fits.

The engine runs what it is sent in order of arrival, so our order counts only if whatever is sent is
*scheduled* at the next iteration, not queued again inside. A request fits when all three hold:

    slots     in flight + 1                    ≤ slots + lookahead
    KV        blocks(in flight) + need + headroom ≤ kv_blocks
    prefill   prompt tokens not yet prefilled + prompt ≤ PREFILL_AHEAD · max_num_tokens

The last lets one prompt of any size through when nothing else is unprefilled.

**KV, engine reserves ahead** (`GUARANTEED_NO_EVICT`): need = ⌈(I + max_tokens) / block⌉ until the final
response; no headroom, since nothing grows.

**KV, engine grows as it goes** (`MAX_UTILIZATION`): each job in flight counts ⌈tokens / block⌉ with
tokens = min(I + output tokens last heard of + 1 to come + (now − heard at) / iteration_s, I + max_tokens), so
silence between two reports, or for a whole unstreamed answer, counts as steady progress. A new job needs its
prompt and one token. A job that the engine has paused keeps its count: it will be resumed before anything
sent later. Headroom: see `HEADROOM_ITERATIONS`.

**Prefill.** A job is unprefilled from its start until its first token. Answers that are not streamed never
show a first token, so a job is assumed prefilled after twice the time that the prompts before it and its own
should take plus `PREFILL_GRACE_ITERATIONS`; the scheduler asks to be woken then.

`fits` and `obstacle` have no effect; `reserve`, `release`, `grow` and `assume_prefilled` are the only writers
of what is taken, `resize` of what there is. Nothing is ever freed that was not reserved, so no count can
become negative, in whatever order jobs end.

*Speed.* Each token of each stream asks again whether something fits. A job's estimate only grows until the
next report of it, so the sum as last counted is a lower bound on the sum now: while even that leaves no room,
nothing is computed. Only otherwise are all places counted anew, in one vector operation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy

FloatArray = npt.NDArray[np.float64]

PREFILL_AHEAD = 1.5
PREFILL_GRACE_ITERATIONS = 4.0
LOOKAHEAD_FROM_SLOTS = 16
# A job sent now is scheduled one iteration later at the earliest (the hop, then the running iteration's end),
# and grows from there. Free for two iterations' growth of the running batch, it is neither queued nor does it
# pause anybody at once. More headroom trades running requests for fewer pauses, and pauses are cheap where
# prefill is.
HEADROOM_ITERATIONS = 2.0
_ROUNDING = 1e-6


class Obstacle(StrEnum):
    """Why a job cannot start now."""

    NEVER_FITS = "never-fits"
    SLOTS = "slots"
    PREFILL = "prefill"
    KV = "kv"


@dataclass(frozen=True, slots=True)
class Need:
    """What a job asks of the engine: prompt length and cap on output, tokens."""

    prompt_tokens: int
    max_tokens: int


@dataclass(slots=True)
class _Reservation:
    need: Need
    place: int
    prefilled: bool = False
    prefill_due_at: float = 0.0


class Ledger:
    """Reservations of jobs in flight against one engine's capacity."""

    def __init__(self, capacity: EngineCapacity) -> None:
        self._reservations: dict[str, _Reservation] = {}
        self._unprefilled: dict[str, _Reservation] = {}
        self._unprefilled_tokens = 0
        self._last_due_at = -math.inf
        self._free_places: list[int] = []
        # Per place: tokens last heard of, when, the most it can come to, and the blocks counted for it. A
        # free place counts nothing.
        self._tokens: FloatArray = np.zeros(0)
        self._heard_at: FloatArray = np.zeros(0)
        self._limits: FloatArray = np.zeros(0)
        self._counted: FloatArray = np.zeros(0)
        # Sum of `_counted`: exact for one instant, a lower bound after it.
        self._counted_blocks = 0
        self._counted_at = -math.inf
        self.resize(capacity)

    @property
    def capacity(self) -> EngineCapacity:
        """The limits counted against."""
        return self._capacity

    @property
    def num_slots(self) -> int:
        """Requests that may be in flight at once: slots + lookahead."""
        return self._num_slots

    @property
    def num_in_flight(self) -> int:
        """Slots taken."""
        return len(self._reservations)

    @property
    def unprefilled_tokens(self) -> int:
        """Prompt tokens sent whose prefill is not known or assumed to be over."""
        return self._unprefilled_tokens

    @property
    def next_prefill_due_at(self) -> float | None:
        """When the oldest unprefilled job will be assumed prefilled; None when there is none."""
        return next(iter(self._unprefilled.values())).prefill_due_at if self._unprefilled else None

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._reservations

    def has_slot(self) -> bool:
        """Whether a slot is free."""
        return len(self._reservations) < self._num_slots

    def fits(self, need: Need, now: float) -> bool:
        """Whether a job could start now."""
        return self.obstacle(need, now) is None

    def obstacle(self, need: Need, now: float) -> Obstacle | None:
        """The first reason why a job cannot start now; None when it fits."""
        if self.never_fits(need) is not None:
            return Obstacle.NEVER_FITS
        if not self.has_slot():
            return Obstacle.SLOTS
        prefill_tokens = self._unprefilled_tokens + need.prompt_tokens
        if self._unprefilled and prefill_tokens > PREFILL_AHEAD * self._capacity.max_num_tokens:
            return Obstacle.PREFILL
        return None if self.has_blocks(self.blocks_to_start(need), now) else Obstacle.KV

    def has_blocks(self, blocks: float, now: float) -> bool:
        """Whether so many KV blocks are free."""
        total = self._capacity.kv_blocks
        if total is None:
            return True
        return self._counted_blocks + blocks <= total and self.reserved_blocks(now) + blocks <= total

    def blocks_to_start(self, need: Need) -> float:
        """KV blocks that must be free for a job to start: its own and the headroom."""
        if self._reserves_ahead:
            return float(self._blocks(need.prompt_tokens + need.max_tokens))
        headroom = HEADROOM_ITERATIONS * len(self._reservations) / self._capacity.block_tokens
        return self._blocks(need.prompt_tokens + 1) + headroom

    def never_fits(self, need: Need) -> str | None:
        """Why a job cannot run on this engine even alone, as a sentence; None when it can."""
        capacity = self._capacity
        if need.prompt_tokens > capacity.max_num_tokens:
            return (
                f"the prompt has {need.prompt_tokens} tokens, "
                f"the engine takes at most {capacity.max_num_tokens} in one iteration"
            )
        if capacity.kv_blocks is not None:
            blocks = self._blocks(need.prompt_tokens + need.max_tokens)
            if blocks > capacity.kv_blocks:
                return (
                    f"{need.prompt_tokens} prompt tokens and max_tokens {need.max_tokens} "
                    f"need {blocks} KV blocks, the engine has {capacity.kv_blocks}"
                )
        return None

    def reserved_blocks(self, now: float) -> int:
        """KV blocks that jobs in flight hold, or are estimated to hold by now."""
        if self._counted_at != now:
            since = np.maximum(now - self._heard_at, 0.0)
            tokens = np.minimum(self._tokens + since * self._tokens_per_s, self._limits)
            self._counted = np.ceil(tokens * (1.0 / self._capacity.block_tokens) - _ROUNDING)
            self._counted_blocks = int(self._counted.sum())
            self._counted_at = now
        return self._counted_blocks

    def reserve(self, job_id: str, need: Need, now: float) -> None:
        """Count a job that is being started; its id must not be in flight."""
        place = self._take_place()
        capacity = self._capacity
        self._unprefilled_tokens += need.prompt_tokens
        due_at = (
            now
            + 2.0 * self._unprefilled_tokens * capacity.prefill_s_per_token
            + PREFILL_GRACE_ITERATIONS * capacity.iteration_s
        )
        # The engine prefills in order of arrival, so due times never run backwards either.
        self._last_due_at = max(self._last_due_at, due_at)
        reservation = _Reservation(need, place, prefill_due_at=self._last_due_at)
        self._reservations[job_id] = reservation
        self._unprefilled[job_id] = reservation
        self._limits[place] = need.prompt_tokens + need.max_tokens
        if self._reserves_ahead:
            self._tokens[place] = self._limits[place]
        else:
            self._tokens[place] = need.prompt_tokens + 1
        self._heard_at[place] = self._last_due_at
        self._count(place, now)

    def grow(self, job_id: str, output_tokens: int, now: float) -> None:
        """Take note that a job in flight has produced `output_tokens` in total, so its prefill is over."""
        reservation = self._reservations[job_id]
        self._end_prefill(job_id, reservation)
        if self._reserves_ahead:
            return
        place = reservation.place
        self._tokens[place] = min(reservation.need.prompt_tokens + output_tokens + 1, self._limits[place])
        self._heard_at[place] = now
        self._count(place, now)

    def release(self, job_id: str) -> None:
        """Free all that a job in flight holds."""
        reservation = self._reservations.pop(job_id)
        self._end_prefill(job_id, reservation)
        place = reservation.place
        self._tokens[place] = self._limits[place] = 0.0
        self._counted_blocks -= int(self._counted[place])
        self._counted[place] = 0.0
        self._free_places.append(place)

    def assume_prefilled(self, now: float) -> None:
        """Count jobs as prefilled whose time for it is over."""
        while self._unprefilled:
            job_id, reservation = next(iter(self._unprefilled.items()))
            if reservation.prefill_due_at > now:
                return
            self._end_prefill(job_id, reservation)

    def resize(self, capacity: EngineCapacity) -> None:
        """Count against other limits; what is reserved stays reserved, be it more than there is."""
        self._capacity = capacity
        lookahead = capacity.lookahead
        if lookahead is None:
            lookahead = 1 if capacity.slots >= LOOKAHEAD_FROM_SLOTS else 0
        self._num_slots = capacity.slots + lookahead
        self._reserves_ahead = capacity.kv_policy is KvPolicy.GUARANTEED_NO_EVICT
        self._tokens_per_s = 1.0 / capacity.iteration_s
        if self._reserves_ahead:
            self._tokens[:] = self._limits
        # Blocks may be of another size now, and jobs faster or slower: nothing counted before is a bound.
        self._counted[:] = 0.0
        self._counted_blocks = 0
        self._counted_at = -math.inf

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self._capacity.block_tokens)

    def _end_prefill(self, job_id: str, reservation: _Reservation) -> None:
        if not reservation.prefilled:
            reservation.prefilled = True
            self._unprefilled_tokens -= reservation.need.prompt_tokens
            del self._unprefilled[job_id]

    def _take_place(self) -> int:
        if not self._free_places:
            used = self._tokens.size
            added = max(16, used)
            self._tokens, self._heard_at, self._limits, self._counted = (
                np.concatenate([old, np.zeros(added)])
                for old in (self._tokens, self._heard_at, self._limits, self._counted)
            )
            self._free_places = list(range(used + added - 1, used - 1, -1))
        return self._free_places.pop()

    def _count(self, place: int, now: float) -> None:
        """Count a place anew after it changed: the sum stays exact for its instant, or a lower bound."""
        since = max(now - float(self._heard_at[place]), 0.0)
        tokens = min(float(self._tokens[place]) + since * self._tokens_per_s, float(self._limits[place]))
        blocks = math.ceil(tokens * (1.0 / self._capacity.block_tokens) - _ROUNDING)
        self._counted_blocks += blocks - int(self._counted[place])
        self._counted[place] = blocks
