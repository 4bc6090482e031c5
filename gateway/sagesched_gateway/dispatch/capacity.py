"""What fits into the engine and how fast it is: settings, model configuration and metrics put together.

Settings win over metrics and configuration; where both of these tell a size, the smaller one holds, for
neither can be exceeded. Once metrics could be compared with what we sent, `GaugeSense` says how much we may
fill; what nobody tells is left to the core, which learns it from measured waits. Most values stand still
after the first scrape; the duration of an iteration moves with the load and is measured, from the engine's
iteration counter where there is one, else from the time between chunks. The core hears of a new duration only
when it moved by more than `HYSTERESIS`, since each change may put the whole queue into a new order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from sagesched_gateway.dispatch.gauge_sense import GaugeSense, Ours
from sagesched_gateway.dispatch.ports import EngineGauges, EngineLimits
from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy

HYSTERESIS = 0.05
"""Relative change of the iteration's duration below which the core is left alone."""

KV_HYSTERESIS = 0.005
"""The same for the size of the KV pool."""

WINDOW_S = 5.0
"""Iterations are counted over about so long: gauges are refreshed each 100 ms, so the error is about 2 %."""

LEAST_SPAN_S = 0.5
"""A shorter span says nothing, for the same reason."""

FIRST_GUESS_SLOTS = 32
"""Places assumed while nothing tells: safe for the engine, and soon corrected."""

USUAL_BLOCK_TOKENS = 32
"""Tokens per block where nobody tells: the smaller of the usual sizes, which loses least to rounding."""

PAUSED_OFTEN = 0.35
"""Where more of the readings show pauses, `CAUTION_STEP` more iterations of growth are kept free."""

PAUSED_SELDOM = 0.15
CAUTION_STEP = 4.0
MOST_CAUTION = 48.0

_GAP_WEIGHT = 0.02  # of one gap in the running mean; a few dozen streams settle it within a second
_LONGEST_ITERATION_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Limits set by hand; None leaves one to the engine."""

    slots: int | None = None
    kv_blocks: int | None = None
    block_tokens: int | None = None
    kv_policy: KvPolicy | None = None
    max_num_tokens: int | None = None
    lookahead: int | None = None
    kv_headroom_iterations: float | None = None


class CapacityModel:
    """Holds the current `EngineCapacity` and says when it changed.

    Attributes:
        current: what the core should count with.
        sense: judges the gauges.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._limits = EngineLimits()
        self._gauges = EngineGauges()
        self._speed = IterationSpeed()
        self._gap_s: float | None = None
        self._caution = 0.0
        self.sense = GaugeSense()
        self.current = self._composed(
            EngineCapacity(slots=FIRST_GUESS_SLOTS, block_tokens=USUAL_BLOCK_TOKENS)
        )

    def told_limits(self, limits: EngineLimits) -> bool:
        """Take what the configuration tells; returns whether `current` changed."""
        self._limits = limits
        return self._refresh()

    def restarted(self) -> bool:
        """The engine is another one: forget what was measured; returns whether `current` changed."""
        self._gauges = EngineGauges()
        self._speed = IterationSpeed()
        self._gap_s = None
        self._caution = 0.0
        self.sense = GaugeSense()
        self.current = replace(self.current, generation=self.current.generation + 1)
        self._refresh()
        return True

    def saw_gauges(self, gauges: EngineGauges, now: float, *, busy: bool, ours: Ours | None = None) -> bool:
        """Take what the metrics tell; returns whether `current` changed.

        Args:
            gauges: as read.
            now: seconds, monotonic.
            busy: the engine has had work without a break since the last call; only then do iterations measure
                time.
            ours: what we have in the engine; None where it is not to be compared.
        """
        if ours is not None:
            self.sense.saw(gauges, ours, now, busy=busy)
            self._note_pauses()
        self._gauges = _merged(self._gauges, gauges)
        if gauges.iteration is not None:
            self._speed.saw(gauges.iteration, now, busy=busy)
        return self._refresh()

    def saw_gaps(self, seconds: float, tokens: int) -> None:
        """Take the seconds in which a stream brought so many tokens; used where no iterations are counted."""
        gap_s = seconds / tokens
        if self._gap_s is None:
            self._gap_s = gap_s
        else:
            self._gap_s += (1 - (1 - _GAP_WEIGHT) ** tokens) * (gap_s - self._gap_s)

    def admissible(self, prompt_tokens: int, max_tokens: int, *, is_exact: bool) -> int:
        """The prompt length to count with, so that nothing is refused for a limit or length only guessed.

        A request is refused only on facts; where they are missing the engine is the judge.
        """
        capacity = self.current
        is_limit = bool(self._settings.max_num_tokens or self._limits.max_num_tokens)
        if not (is_exact and is_limit) or self._limits.splits_prompts:
            prompt_tokens = min(prompt_tokens, capacity.max_num_tokens)
        if not is_exact and capacity.most_kv_blocks is not None:
            prompt_tokens = min(prompt_tokens, capacity.most_kv_blocks * capacity.block_tokens - max_tokens)
        return max(prompt_tokens, 1)

    def _refresh(self) -> bool:
        composed = self._composed(self.current)
        if composed == self.current:
            return False
        self.current = composed
        return True

    def _composed(self, before: EngineCapacity) -> EngineCapacity:
        own, limits, gauges = self._settings, self._limits, self._gauges
        block_tokens = own.block_tokens or gauges.block_tokens or before.block_tokens
        # Gauges come once iterations run; until then the configured size keeps a first burst in bounds.
        configured_blocks = None if limits.kv_tokens is None else max(limits.kv_tokens // block_tokens, 1)
        told = self._told_slots()
        slots = FIRST_GUESS_SLOTS if told is None else told
        whole = kv_blocks = _least(gauges.kv_blocks, configured_blocks)
        if gauges.kv_blocks and self.sense.compares_blocks:
            # In blocks as we count them, of which more may fit than there are: prefixes are shared, or
            # prompts counted too long.
            kv_blocks = self.sense.kv_blocks(gauges.kv_blocks)
        return replace(
            before,
            slots=own.slots or min(slots, limits.most_at_once or slots),
            knows_slots=bool(own.slots or told is not None or limits.most_at_once),
            kv_blocks=own.kv_blocks or _steady(kv_blocks, before.kv_blocks),
            whole_kv_blocks=own.kv_blocks or whole,
            is_metered=self.sense.compares_blocks and not self.sense.is_stale,
            block_tokens=block_tokens,
            kv_policy=own.kv_policy or limits.kv_policy or before.kv_policy,
            max_num_tokens=own.max_num_tokens or limits.max_num_tokens or before.max_num_tokens,
            iteration_s=self._iteration_s(before.iteration_s),
            lookahead=own.lookahead,
            kv_headroom_iterations=own.kv_headroom_iterations,
            kv_caution_iterations=self._caution,
        )

    def _told_slots(self) -> int | None:
        gauged = self._gauges.max_requests
        return _least(self.sense.slots(gauged) if gauged else None, self._limits.slots)

    def _note_pauses(self) -> None:
        """Keep more growth free while the engine pauses requests in spite of what is kept free."""
        share = self.sense.pause_share
        if share is None or PAUSED_SELDOM <= share <= PAUSED_OFTEN:
            return
        step = CAUTION_STEP if share > PAUSED_OFTEN else -CAUTION_STEP
        self._caution = min(max(self._caution + step, 0.0), MOST_CAUTION)
        self.sense.forget_pauses()

    def _iteration_s(self, before: float) -> float:
        counted = None if self.sense.is_stale else self._speed.seconds
        measured = self._gap_s if counted is None else counted
        if measured is None or not 0 < measured < _LONGEST_ITERATION_S:
            return before
        return measured if abs(measured - before) > HYSTERESIS * before else before


class IterationSpeed:
    """Seconds per iteration, from a counter that is looked at now and then.

    Attributes:
        seconds: duration of one iteration; None until known.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, iteration: int, now: float, *, busy: bool) -> None:
        """Take a reading; `busy` as in `CapacityModel.saw_gauges`."""
        seen = self._seen
        if not busy or (seen and iteration < seen[-1][1]):
            seen.clear()  # idle time would count as work, a restarted engine counts from zero
        if not busy:
            return
        if seen and iteration == seen[-1][1]:
            return  # not refreshed since: only an edge tells the time
        seen.append((now, iteration))
        while now - seen[0][0] > WINDOW_S:
            seen.popleft()
        (first_at, first), (last_at, last) = seen[0], seen[-1]
        if last_at - first_at >= LEAST_SPAN_S and last > first:
            self.seconds = (last_at - first_at) / (last - first)


def _least(*sizes: int | None) -> int | None:
    """The smallest of what is known; None where nothing is."""
    return min((size for size in sizes if size), default=None)


def _steady(size: int | None, before: int | None) -> int | None:
    """The size, or the one before where it is about the same: a change may put the queue in a new order."""
    if size and before and abs(size - before) < KV_HYSTERESIS * before:
        return before
    return size


def _merged(before: EngineGauges, now: EngineGauges) -> EngineGauges:
    """Sizes of the engine stay known when a scrape lacks them, or shows zero since no iteration ran yet."""
    return replace(
        now,
        max_requests=now.max_requests or before.max_requests,
        kv_blocks=now.kv_blocks or before.kv_blocks,
        block_tokens=now.block_tokens or before.block_tokens,
    )
