"""`IterationClock`: how many iterations the engine has run, told by the reports of everything in flight.

Whatever runs gets one token per iteration, so any job's report tells the time for all of them. With dozens in
flight some job reports in nearly every iteration, while the time since one job's own last report is up to
sixteen iterations, in which an average of durations is off by several: an iteration that prefills takes five
times as long as one that does not.

    a job's tick = its offset + its output tokens
    clock        = the latest tick heard of; one more where a report comes clearly later than the one before,
                   which another iteration must have brought; between reports it goes on at `shortest_s`

A job whose tick lies behind was paused meanwhile, or began while the clock itself was behind: its offset is
set anew. `shortest_s`, an iteration without prefill, is a low quantile of the mean over one job's tokens
between two reports. Messages of one iteration may come far apart where this process is held up; ticks by time
alone then run ahead of the jobs' own, and are left out while they do. The clock does not go on for longer
than reports can be expected to stay away (`_SURE` mean distances between them): longer silence means that the
engine is busy with a prefill. An answer in one piece reports once, at its end, and its first token is assumed
to have come at once. Where a step brings several tokens (speculation) the fastest job drives the clock, so
the others are counted with too much, never too little.
Only differences of ticks mean anything, and those only once it `is_settled`: a first burst of prefills makes
iterations several times as long as was guessed, while nobody has told of any yet.
"""

from __future__ import annotations

SETTLED = 32
"""Durations heard of until the clock can be trusted: enough to correct a guess that was four times off."""

_SURE = 5.0
_SAME_ITERATION = 0.5
_SHORT = 0.1
_STEP = 0.05
_MOST_AHEAD = 0.25
_PAUSED = 4
_FIRST_DISTANCE = 16.0
_WEIGHT = 0.05


class Ticking:
    """A job's reports, as the clock remembers them.

    Attributes:
        offset: its tick minus its output tokens.
        tokens: output tokens at its latest report.
        at: instant of that, seconds.
        reports: how many.
        streams: it reports as it goes, so its silence means something.
    """

    __slots__ = ("at", "offset", "reports", "streams", "tokens")

    def __init__(self) -> None:
        self.offset = 0
        self.tokens = 0
        self.at = 0.0
        self.reports = 0
        self.streams = True


class IterationClock:
    """Iterations on one engine.

    Attributes:
        iteration_s: duration of an iteration on average, seconds; the clock's speed until more is known.
        confirmed: the latest tick that follows from the tokens of a job that ran through: never too large.
    """

    __slots__ = (
        "_ahead",
        "_distance",
        "_num_measured",
        "_num_ticking",
        "_shortest_s",
        "_tick",
        "_ticked_at",
        "confirmed",
        "iteration_s",
    )

    def __init__(self, iteration_s: float) -> None:
        """Start at iteration 0."""
        self.iteration_s = iteration_s
        self._tick = 0
        self._ticked_at = 0.0
        self._shortest_s: float | None = None
        self._num_measured = 0
        self._num_ticking = 0
        self._ahead = 0.0
        self.confirmed = 0
        self._distance = _FIRST_DISTANCE

    @property
    def is_settled(self) -> bool:
        """Whether enough was heard to tell iterations by it."""
        return self._num_measured >= SETTLED

    @property
    def shortest_s(self) -> float:
        """Duration of an iteration without prefill."""
        return self.iteration_s if self._shortest_s is None else min(self._shortest_s, self.iteration_s)

    def at(self, now: float) -> float:
        """Iterations by now; may be less than said before, when a report shows that it had gone too fast."""
        since = max(now - self._ticked_at, 0.0) / self.shortest_s
        if self._num_ticking:
            since = min(since, max(_SURE * self._distance / self._num_ticking, 1.0))
        return self._tick + since

    def assume_first(self, job: Ticking, clock: float) -> None:
        """A job that will only report its end was sent at that time: its first token came at once."""
        job.streams = False
        job.offset = int(clock)
        job.reports = 1

    def report(self, job: Ticking, tokens: int, now: float) -> None:
        """Take a job's report of so many output tokens."""
        tick = self._tick
        is_new = now - self._ticked_at > _SAME_ITERATION * self.shortest_s
        if is_new and (self._ahead < _MOST_AHEAD or not self._num_ticking):
            # Where nobody reports often only time tells how many iterations have passed.
            tick = tick + 1 if self._num_ticking else max(tick + 1, round(self.at(now)))
        if job.reports:
            own = job.offset + tokens
            tick = max(tick, own)
            self.confirmed = max(self.confirmed, own)
            new = tokens - job.tokens
            if new and now > job.at and job.streams:
                self._measure((now - job.at) / new, new)
                if tick - own <= _PAUSED:
                    self._ahead += _WEIGHT * (tick - own - self._ahead)
            if job.reports == 1 and job.streams:
                self._num_ticking += 1
        if tick > self._tick:
            self._tick = tick
            self._ticked_at = now
        job.offset = tick - tokens
        job.tokens = tokens
        job.at = now
        job.reports += 1

    def forget(self, job: Ticking) -> None:
        """A job has left the engine."""
        if job.reports > 1 and job.streams:
            self._num_ticking -= 1

    def _measure(self, mean_s: float, tokens: int) -> None:
        self._num_measured += 1
        self._distance += _WEIGHT * (tokens - self._distance)
        if self._shortest_s is None:
            self._shortest_s = mean_s
        else:
            self._shortest_s *= 1 + _STEP * (_SHORT - (mean_s < self._shortest_s))
