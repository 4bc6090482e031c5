"""`GaugeSense`: what the engine's gauges say beside what we sent it ourselves, and whether to believe them.

Of the gauges only differences are taken, since of what is in flight we know better:

    room for us  =  ours + (most − used)  =  most − foreign,    foreign = used − ours

With honest gauges and nobody else `foreign` is 0. What others put into the engine behind our back is counted
in, and so is what the engine shares (cached prefixes make it negative). Gauges that are wrong by a factor are
wrong by that share of the *free* part only, which vanishes as the engine fills: room and reality meet where
it counts.

`foreign` is the median over `WINDOW` readings, and a reading counts only when it can be compared: the
iteration counter has moved since the last, hardly anything waits or is paused inside (what does is left out
of ours in proportion, a guess that must not make room), and about as much of ours is in flight as at the
reading before. Gauges are refreshed each tenth of a second, so what ours have grown by within `AGE_S` is left
out, too. Differences within `NOISE` of `most` are none.

- *Stale*: the counter stands still for `STALE_S` while the engine works for us. Nothing but sizes is believed
  then; measured waits remain.
- *Bypass*: at least one more request inside than ours, in each reading for `BYPASS_S` in which we kept the
  engine at work. An engine that has become idle goes on showing what it held last.
- *Pauses*: the share of the last readings in which the engine had paused somebody.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from sagesched_gateway.dispatch.ports import EngineGauges

WINDOW = 15
LEAST_READINGS = 5
NOISE = 0.01
AGE_S = 0.06
"""Of a reading on average: half of the time between two refreshes, and the way here."""

LEAST_NOISE = 4.0
STALE_S = 1.0
BYPASS_S = 1.0
MOST_CHANGE = 2
MOST_WAITING = 0.1
PAUSE_WINDOW = 25
MOST_SHARED = 0.5
"""More than this share of the pool is not taken for shared: then the counts do not belong together."""


class Ours(NamedTuple):
    """What this gateway has in the engine.

    Attributes:
        requests: in flight.
        blocks: KV blocks that the ledger counts for them.
        growth: KV blocks that these grow by, per second.
    """

    requests: int
    blocks: int
    growth: float = 0.0


@dataclass(slots=True)
class _Difference:
    """Foreign amounts of one resource.

    Attributes:
        readings: the latest ones.
    """

    readings: deque[float]

    def value(self, most: float) -> float:
        """Their median; 0 within noise or while there are few."""
        if len(self.readings) < LEAST_READINGS:
            return 0.0
        foreign = median(self.readings)
        if abs(foreign) <= max(NOISE * most, min(LEAST_NOISE, 0.5 + 0.05 * most)):
            return 0.0
        return max(foreign, -MOST_SHARED * most)


class GaugeSense:
    """Judges the gauges of one engine.

    Attributes:
        is_stale: they are not brought up to date although the engine works.
        strangers: requests inside that did not come through here.
    """

    def __init__(self) -> None:
        """Nothing was read yet."""
        self.is_stale = False
        self.strangers = 0
        self._requests = _Difference(deque(maxlen=WINDOW))
        self._blocks = _Difference(deque(maxlen=WINDOW))
        self._pauses: deque[bool] = deque(maxlen=PAUSE_WINDOW)
        self._last: tuple[EngineGauges, Ours] | None = None
        self._moved_at: float | None = None
        self._bypassed_since: float | None = None
        self._fewest_strangers = 0

    @property
    def pause_share(self) -> float | None:
        """Share of the latest readings in which somebody had been paused; None while there are too few."""
        return sum(self._pauses) / PAUSE_WINDOW if len(self._pauses) == PAUSE_WINDOW else None

    @property
    def compares_blocks(self) -> bool:
        """Whether there are enough readings to say what of the KV pool is not ours."""
        return len(self._blocks.readings) >= LEAST_READINGS

    def slots(self, most: int) -> int:
        """Of so many places, those that we may fill."""
        return max(round(most - self._requests.value(most)), 1)

    def kv_blocks(self, most: int) -> int:
        """Of so many blocks, those that we may fill."""
        return max(round(most - self._blocks.value(most)), 1)

    def saw(self, gauges: EngineGauges, ours: Ours, now: float, *, busy: bool) -> None:
        """Take a reading; `busy` when the engine has worked for us without a break since the last."""
        last, self._last = self._last, (gauges, ours)
        has_moved = last is None or gauges.iteration != last[0].iteration
        if has_moved or not busy or not ours.requests or self._moved_at is None:
            self._moved_at = now
        self.is_stale = gauges.iteration is not None and now - self._moved_at >= STALE_S
        if self.is_stale:
            self._forget_strangers()
        if self.is_stale or last is None or not has_moved:
            return
        if busy:
            self._note_strangers(gauges, max(ours.requests, last[1].requests), now)
        else:
            self._forget_strangers()
        if gauges.paused is not None:
            self._pauses.append(gauges.paused > 0)
        is_still = abs(ours.requests - last[1].requests) <= MOST_CHANGE
        active, waiting = gauges.active, gauges.waiting or 0
        if not busy or not is_still or not active or waiting > MOST_WAITING * active:
            return
        self._requests.readings.append(float(active - ours.requests))
        if gauges.used_blocks is not None:
            running = (ours.blocks - ours.growth * AGE_S) * (active - waiting) / active
            foreign = gauges.used_blocks - running
            if foreign >= 0 or not waiting:
                self._blocks.readings.append(foreign)

    def forget_pauses(self) -> None:
        """Something was done about them: count anew."""
        self._pauses.clear()

    def _note_strangers(self, gauges: EngineGauges, ours: int, now: float) -> None:
        more = (gauges.active or 0) - ours
        if more <= 0:
            self._forget_strangers()
            return
        if self._bypassed_since is None:
            self._bypassed_since, self._fewest_strangers = now, more
        self._fewest_strangers = min(self._fewest_strangers, more)
        if now - self._bypassed_since >= BYPASS_S:
            self.strangers = self._fewest_strangers

    def _forget_strangers(self) -> None:
        self._bypassed_since = None
        self.strangers = 0
