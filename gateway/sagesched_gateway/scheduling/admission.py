"""`Ledger`: what of the engine is taken, and whether one more request fits.

The engine runs what it is sent in order of arrival, so our order counts only if whatever is sent is
*scheduled* at the next iteration, not queued again inside. A request fits when all three hold:

    slots     in flight + 1                    ≤ slots + lookahead
    KV        blocks(in flight) + need + headroom ≤ kv_blocks
    prefill   prompt tokens not yet prefilled + prompt ≤ PREFILL_AHEAD · max_num_tokens

One is always let through when nothing else is unprefilled: a prompt beyond `max_num_tokens` never fits at
all.

**KV, engine reserves ahead** (`GUARANTEED_NO_EVICT`): need = ⌈(I + max_tokens) / block⌉ until the final
response; no headroom, since nothing grows.

**KV, engine grows as it goes** (`MAX_UTILIZATION`): each job in flight counts what it holds by now
(`Reservation`), a new one its prompt and one token.

*Headroom* under `MAX_UTILIZATION`: what all jobs in flight will hold `HEADROOM_ITERATIONS` later must fit
beside a new one. The engine itself packs its pool to the brim and, one iteration later, pauses the
latest-started to let the others grow; each pause costs a prefill of prompt and progress. Eight trades a batch
of 0.98 of what fits for fewer pauses; why not more, nor by prediction: `docs/decisions/0004`. Where the
engine pauses often in spite of it, more is kept (`EngineCapacity.kv_caution_iterations`). A *greedy* ledger
(policy `fcfs`) leaves `LEAST_HEADROOM_ITERATIONS`: the least that keeps a new job from waiting inside the
engine is the iteration under way, and those that run while tokens and starts are on their way.

**What nobody tells**, or tells wrongly: `LearnedRoom` sets both limits from measured waits (`WaitLessons`).
While somebody sent earlier must be waiting inside, nobody else is sent, and more than was ever taken is tried
by a few at a time.

**Slots.** No lookahead unless set: one request sent beyond the slots hides one hop per completion (under one
iteration of hundreds), and waits dozens of iterations inside the engine whenever slots are what is scarce.

**Prefill.** `Prefills` tells whose prompts are still to be read; the scheduler asks to be woken when the next
one is assumed to have been.

`fits` and `obstacle` have no effect; `reserve`, `release`, `grow`, `correct_prompt` and `assume_prefilled`
are the only writers of what is taken, `resize` of what there is. Nothing is ever freed that was not reserved,
so no count can become negative, in whatever order jobs end.

*Speed.* Each token of each stream asks again whether something fits. A job's estimate only grows until the
next report of it, so the sum as last counted is a lower bound on the sum now: while even that leaves no room,
nothing is computed. Nor is it while there is room even with every job grown to its cap. Only in between are
all jobs in flight counted anew.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum
from itertools import takewhile

from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy
from sagesched_gateway.scheduling.iteration_clock import IterationClock
from sagesched_gateway.scheduling.prefills import HOLD_ITERATIONS, Prefills
from sagesched_gateway.scheduling.reservation import Held, Need, Now, Reservation, blocks_of, held_blocks
from sagesched_gateway.scheduling.wait_lessons import Taken, WaitLessons

PREFILL_AHEAD = 1.5
LOOKAHEAD = 0
HEADROOM_ITERATIONS = 8.0
LEAST_HEADROOM_ITERATIONS = 3.0


class Obstacle(StrEnum):
    """Why a job cannot start now."""

    NEVER_FITS = "never-fits"
    SLOTS = "slots"
    PREFILL = "prefill"
    KV = "kv"
    GROWTH = "growth"


class Ledger:
    """Reservations of jobs in flight against one engine's capacity."""

    def __init__(self, capacity: EngineCapacity, greedy: bool = False) -> None:
        """Start empty.

        Args:
            capacity: the limits.
            greedy: leave the least headroom unless the capacity says otherwise.
        """
        self._capacity = capacity
        self._reservations: dict[str, Reservation] = {}
        self._prefills = Prefills()
        self._clock = IterationClock(capacity.iteration_s)
        # Sum of the blocks counted: exact for one instant, a lower bound while the clock is not set back
        # behind it. And of what they can come to.
        self._counted_blocks = 0
        self._counted_at = -math.inf
        self._counted_clock = math.inf
        self._most_blocks = 0
        self._lessons = WaitLessons(self._clock, capacity.prefill_s_per_token)
        self.room = self._lessons.room
        self.resize(capacity, greedy)

    @property
    def capacity(self) -> EngineCapacity:
        """The limits counted against."""
        return self._capacity

    @property
    def counted_capacity(self) -> EngineCapacity:
        """The limits with what was learned in place of what nobody tells."""
        capacity = self._capacity
        if capacity.kv_blocks is not None and capacity.knows_slots:
            return capacity
        kv_blocks = capacity.kv_blocks or self.room.usable_blocks
        return replace(capacity, slots=self.num_slots, kv_blocks=kv_blocks)

    @property
    def num_slots(self) -> int:
        """Requests that may be in flight at once: slots + lookahead."""
        return max(int(self.room.slots.value), 1) + self._lookahead

    @property
    def num_in_flight(self) -> int:
        """Slots taken."""
        return len(self._reservations)

    @property
    def unprefilled_tokens(self) -> int:
        """Prompt tokens sent whose prefill is neither known nor assumed to be over."""
        return self._prefills.tokens

    @property
    def next_prefill_due_at(self) -> float | None:
        """When the next unprefilled job will be assumed prefilled; None when there is none."""
        return self._prefills.next_due_at

    @property
    def grows(self) -> bool:
        """Whether the engine grows KV as it goes; False where it reserves ahead."""
        return not self._reserves_ahead

    def held(self, now: float) -> list[Held]:
        """All jobs in flight in the order of their start."""
        moment = self._moment(now)
        return [
            Held(job_id, reservation.tokens_by(moment), reservation.need.most_tokens)
            for job_id, reservation in self._reservations.items()
        ]

    def estimated_output_tokens(self, job_id: str, now: float) -> int:
        """Output tokens that a job in flight has generated by now, silence counted as steady progress."""
        reservation = self._reservations[job_id]
        held = int(reservation.tokens_by(self._moment(now)))
        return max(held - reservation.need.prompt_tokens - 1, 0)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._reservations

    def has_slot(self) -> bool:
        """Whether a slot is free."""
        return len(self._reservations) < self.num_slots

    def has_blocks(self, blocks: float, now: float) -> bool:
        """Whether so many KV blocks are free, beside the headroom for what is in flight."""
        total = self.room.blocks.value
        if self._most_blocks + blocks <= total:
            return True
        if not self._reservations:
            return True  # what is learned must not keep anybody out for ever
        if self._reserves_ahead:
            return False
        moment = self._moment(now)
        if moment.clock >= self._counted_clock and self._counted_blocks + blocks > total:
            return False
        if now != self._counted_at:
            for reservation in self._reservations.values():
                reservation.blocks = self._blocks_ahead(reservation, moment)
            self._counted_blocks = sum(reservation.blocks for reservation in self._reservations.values())
            self._counted_at, self._counted_clock = now, moment.clock
        return self._counted_blocks + blocks <= total

    def fits(self, need: Need, now: float) -> bool:
        """Whether a job could start now."""
        return self.obstacle(need, now) is None

    def obstacle(self, need: Need, now: float) -> Obstacle | None:
        """The first reason why a job cannot start now; None when it fits."""
        if self.never_fits(need) is not None:
            return Obstacle.NEVER_FITS
        if not self.has_slot():
            return Obstacle.SLOTS
        if self._lessons.is_queue_inside(now):
            return Obstacle.PREFILL
        prefill_tokens = self._prefills.tokens + need.prompt_tokens
        if prefill_tokens > PREFILL_AHEAD * self._capacity.max_num_tokens:
            return Obstacle.PREFILL
        blocks = self.blocks_to_start(need)
        if not self.has_blocks(blocks, now):
            return Obstacle.KV
        return Obstacle.PREFILL if need.streams and self._is_trial_too_many(blocks, now) else None

    def never_fits(self, need: Need) -> str | None:
        """Why a job cannot run on this engine even alone, as a sentence; None when it can."""
        capacity = self._capacity
        if need.prompt_tokens > capacity.max_num_tokens:
            return (
                f"the prompt has {need.prompt_tokens} tokens, "
                f"the engine takes at most {capacity.max_num_tokens} in one iteration"
            )
        most_blocks = capacity.most_kv_blocks
        if most_blocks is not None:
            blocks = self._blocks(need.most_tokens)
            if blocks > most_blocks:
                return (
                    f"{need.prompt_tokens} prompt tokens and max_tokens {need.max_tokens} "
                    f"need {blocks} KV blocks, the engine has {most_blocks}"
                )
        return None

    def blocks_to_start(self, need: Need) -> int:
        """KV blocks that a job takes at its start; what is in flight has its headroom beside that."""
        grown = need.max_tokens if self._reserves_ahead else 1
        return self._blocks(need.prompt_tokens + grown)

    def reserved_blocks(self, now: float) -> int:
        """KV blocks that jobs in flight hold, or are estimated to hold by now."""
        if self._reserves_ahead:
            return self._most_blocks
        return held_blocks(self._reservations.values(), self._moment(now), self._capacity.block_tokens)

    def reserve(self, job_id: str, need: Need, now: float) -> None:
        """Count a job that is being started; its id must not be in flight."""
        unprefilled = self._prefills.tokens
        due_at = self._prefills.due_at(need, self._capacity, now)
        most_blocks = self._blocks(need.most_tokens)
        reservation = Reservation(need, need.prompt_tokens + 1, now, due_at, most_blocks)
        if not need.streams:
            self._clock.assume_first(reservation.ticking, self._clock.at(now))
        self._most_blocks += most_blocks
        self._reservations[job_id] = reservation
        self._prefills.begin(job_id, reservation)
        self._count(reservation, now)
        if need.streams:
            taken = Taken(len(self._reservations), self.reserved_blocks(now))
            self._lessons.started(job_id, need.prompt_tokens, unprefilled, taken, now)

    def grow(self, job_id: str, output_tokens: int, now: float) -> None:
        """Take note that a job in flight has produced `output_tokens` in total, so its prefill is over."""
        reservation = self._reservations[job_id]
        self._prefills.end(job_id, reservation)
        if output_tokens == 1 and not reservation.need.streams:
            return  # its first token comes with its last: the report of all of them tells the time
        tokens = reservation.need.prompt_tokens + output_tokens + 1
        if reservation.heard_at is not None and tokens < reservation.tokens:
            return  # reports may overtake each other, progress does not run backwards
        self._clock.report(reservation.ticking, output_tokens, now)
        self._lessons.reported(job_id, now)
        reservation.tokens = tokens
        reservation.heard_at = self._clock.at(now)
        if not self._reserves_ahead:
            self._count(reservation, now)

    def correct_prompt(self, job_id: str, prompt_tokens: int, now: float) -> None:
        """Count a prefilled job in flight with its prompt's true length in place of the one it came with."""
        reservation = self._reservations[job_id]
        reservation.tokens += prompt_tokens - reservation.need.prompt_tokens
        reservation.need = reservation.need._replace(prompt_tokens=prompt_tokens)
        self._most_blocks -= reservation.most_blocks
        reservation.most_blocks = self._blocks(reservation.need.most_tokens)
        self._most_blocks += reservation.most_blocks
        self._count(reservation, now)

    def release(self, job_id: str) -> None:
        """Free all that a job in flight holds."""
        reservation = self._reservations.pop(job_id)
        self._prefills.end(job_id, reservation)
        self._clock.forget(reservation.ticking)
        self._lessons.forget(job_id)
        self._counted_blocks -= reservation.blocks
        self._most_blocks -= reservation.most_blocks

    def assume_prefilled(self, now: float) -> None:
        """Count jobs as prefilled whose time for it is over."""
        while (due := self._prefills.first_due(now)) is not None:
            job_id, reservation = due
            if reservation.need.streams and self._streams_before(job_id):
                reservation.due_at = now + HOLD_ITERATIONS * self._capacity.iteration_s
                return
            self._prefills.end(job_id, reservation)
            self._lessons.forget(job_id)
            if reservation.heard_at is None:
                reservation.heard_at = self._clock.at(reservation.due_at)

    def resize(self, capacity: EngineCapacity, greedy: bool) -> None:
        """Count against other limits; what is reserved stays reserved, be it more than there is."""
        self._lookahead = LOOKAHEAD if capacity.lookahead is None else capacity.lookahead
        self.room.slots.known = capacity.slots if capacity.knows_slots else None
        self.room.slots.first = capacity.slots
        self.room.blocks.known = capacity.kv_blocks
        self.room.slots.is_metered = self.room.blocks.is_metered = capacity.is_metered
        if capacity.generation != self._capacity.generation:
            self.room.forget()
        headroom = (
            LEAST_HEADROOM_ITERATIONS if greedy else HEADROOM_ITERATIONS + capacity.kv_caution_iterations
        )
        self._capacity = capacity
        if capacity.kv_headroom_iterations is not None:
            headroom = capacity.kv_headroom_iterations
        self._headroom_iterations = headroom
        self._reserves_ahead = capacity.kv_policy is KvPolicy.GUARANTEED_NO_EVICT
        self._clock.iteration_s = capacity.iteration_s
        for reservation in self._reservations.values():
            reservation.most_blocks = self._blocks(reservation.need.most_tokens)
        self._most_blocks = sum(reservation.most_blocks for reservation in self._reservations.values())
        # Blocks may be of another size now, and jobs faster or slower: what was counted is no bound any more.
        self._counted_at, self._counted_clock = -math.inf, math.inf

    def check(self, now: float) -> None:
        """Raise AssertionError where the running sums differ from the reservations they sum up."""
        reservations = self._reservations
        assert self._counted_blocks == sum(reservation.blocks for reservation in reservations.values())
        assert self._most_blocks == sum(reservation.most_blocks for reservation in reservations.values())
        moment = self._moment(now)
        if not self._reserves_ahead and moment.clock >= self._counted_clock:
            for reservation in reservations.values():
                by_now = self._blocks_ahead(reservation, moment)
                assert 0 < reservation.blocks <= by_now, reservation
        self._prefills.check(reservations)
        self._lessons.check()

    def _is_trial_too_many(self, blocks: int, now: float) -> bool:
        """Whether nobody has taken so much yet, and enough of those who try have no answer."""
        num_in_flight = len(self._reservations)
        if not self._lessons.has_enough_trials(num_in_flight):
            return False
        return self.room.is_new(num_in_flight + 1, self.reserved_blocks(now) + blocks)

    def _streams_before(self, job_id: str) -> bool:
        """Whether somebody sent before that job is still heard of, so that the job may wait for its room."""
        before = takewhile(lambda item: item[0] != job_id, self._reservations.items())
        return any(other.need.streams and other.ticking.reports for _, other in before)

    def _blocks(self, tokens: int) -> int:
        return blocks_of(tokens, self._capacity.block_tokens)

    def _moment(self, now: float) -> Now:
        return Now(now, self._clock.at(now), self._clock.iteration_s)

    def _blocks_ahead(self, reservation: Reservation, moment: Now) -> int:
        """KV blocks of a job in flight with its headroom, where KV grows."""
        return reservation.blocks_by(moment, self._headroom_iterations, self._capacity.block_tokens)

    def _count(self, reservation: Reservation, now: float) -> None:
        """Count a job anew: the sum stays exact for its instant, or a lower bound."""
        blocks = self._blocks_ahead(reservation, self._moment(now))
        self._counted_blocks += blocks - reservation.blocks
        reservation.blocks = blocks
