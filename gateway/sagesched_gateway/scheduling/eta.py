"""When a waiting request will start and end: distributions, from what is ahead of it and what was learnt.

    T     = (W + V(T)) / rate                                        [seconds; W, V in engine steps]
    wait  ~ (T + ε) · exp(N(m, σ²)) − ε,   σ² = ln(1 + Var W / W²) + σ_r²

- W, Var W: sums of mean and variance of the service of all that is ahead in the policy's order (independent
  needs, so variances add), plus one request's: somebody must end before there is room.
- V(T): what will still arrive within T and go ahead, from the latest `NUM_ARRIVALS` arrivals, whose offsets
  under the policy say who would have overtaken and until when. Nothing under `fcfs`, most of it under an
  order by size.
- rate: the measured drain (`drain_rate`).
- m, σ_r: mean and excess variance of ln(actual / T) over waits that have ended, so that a bias of all of the
  above shows and is taken out. Log-normal because waits are positive and their errors multiply; the sum of
  many needs alone would be normal, but it is not what dominates.

*Service* from start to last token: (I · prefill + O · iteration) · pace, where pace is the mean of what
requests took over what that says.

All of it is arithmetic on what the core was told; the same events give the same estimates.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sagesched_gateway.scheduling.queue import KeyView, Work

FloatArray = npt.NDArray[np.float64]

EPSILON_S = 0.5
"""Waits are compared as if each were so much longer, so that one request more or less
before a short one is no news."""

NUM_ARRIVALS = 256
NUM_NEW = 16
LONGEST_S = 1e6
NUM_ROUNDS = 12
WEIGHT = 0.05
PRIOR_VARIANCE = 0.1
PRIOR_COUNT = 10.0
LEAST_VARIANCE = 1e-4
DRAIN_VARIANCE = 0.04

_NORMAL = NormalDist()


class Eta(NamedTuple):
    """A wait, as a shifted log-normal.

    Attributes:
        seconds: T above; 0 where the request can start at once.
        log_mean: m.
        log_sigma: σ.
    """

    seconds: float
    log_mean: float
    log_sigma: float

    def quantile(self, q: float) -> float:
        """Seconds that the wait does not exceed with probability q, q in (0, 1)."""
        if self.seconds == 0.0:
            return 0.0
        factor = math.exp(self.log_mean + self.log_sigma * _NORMAL.inv_cdf(q))
        return max((self.seconds + EPSILON_S) * factor - EPSILON_S, 0.0)

    def within(self, seconds: float) -> float:
        """Probability that the wait is at most so long."""
        if seconds < 0.0:
            return 0.0
        if self.seconds == 0.0:
            return 1.0
        z = math.log((seconds + EPSILON_S) / (self.seconds + EPSILON_S)) - self.log_mean
        return _NORMAL.cdf(z / self.log_sigma)


class LogRatio:
    """Mean and variance of ln(actual / predicted), the latest twenty or so counting most."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.variance = PRIOR_VARIANCE
        self._count = PRIOR_COUNT

    def note(self, actual: float, predicted: float) -> None:
        """Take one outcome; both must be positive."""
        self._count += 1.0
        weight = max(WEIGHT, 1.0 / self._count)
        error = math.log(actual / predicted) - self.mean
        self.mean += weight * error
        self.variance = (1.0 - weight) * (self.variance + weight * error * error)


class Arrivals:
    """The latest arrivals: their offsets under the policy, and their work."""

    def __init__(self) -> None:
        self._latest: deque[tuple[float, FloatArray, float]] = deque(maxlen=NUM_ARRIVALS)
        self._num_new = 0
        self._rows: FloatArray = np.zeros((0, 1))
        self._steps: FloatArray = np.zeros(0)

    def note(self, now: float, row: FloatArray, steps: float) -> None:
        """One more; arrays are made of them when somebody asks, and again after `NUM_NEW` more."""
        self._latest.append((now, row, steps))
        self._num_new += 1

    def overtaking(self, offset: float, view: KeyView, seconds: float, now: float) -> float:
        """Work that is expected to arrive within so many seconds and go ahead of a row with this offset."""
        if len(self._latest) < 2 or now <= self._latest[0][0]:
            return 0.0
        span_s = now - self._latest[0][0]
        if self._num_new >= NUM_NEW or not self._steps.size:
            self._num_new = 0
            self._rows = np.stack([row for _, row, _ in self._latest])
            self._steps = np.array([steps for _, _, steps in self._latest])
        lead_s = offset - view.scale * self._rows[:, view.column]
        if view.arrival_weight > 0.0:
            window = np.clip(lead_s / view.arrival_weight, 0.0, seconds)
        else:
            window = np.where(lead_s > 0.0, seconds, 0.0)
        # What came after the arrays were made counts as more of the same.
        return float(window @ self._steps) / span_s * len(self._latest) / self._steps.size


class Estimator:
    """Predicts waits and services, and learns from how they turned out."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self._waits = LogRatio()
        self._pace = LogRatio()
        self._expected_variance = 0.0

    def follow_policy(self) -> None:
        """Rows mean something else from now on."""
        self.arrivals = Arrivals()
        self._waits = LogRatio()
        self._expected_variance = 0.0

    def expect_nobody(self) -> None:
        """No newcomers from now on: nobody will overtake."""
        self.arrivals = Arrivals()

    def wait(self, ahead: Work, offset: float, view: KeyView, steps_per_s: float, now: float) -> Eta:
        """The wait of a newcomer.

        Args:
            ahead: work that it finds before it, what must end before there is room included.
            offset: the newcomer's own, seconds or in the unit of the key: scale · row[column].
            view: the view in force.
            steps_per_s: measured drain.
            now: seconds.
        """
        seconds = ahead.mean / steps_per_s
        for _ in range(NUM_ROUNDS):
            overtaking = self.arrivals.overtaking(offset, view, seconds, now)
            longer = min((ahead.mean + overtaking) / steps_per_s, LONGEST_S)
            if longer <= 1.01 * seconds:
                break
            seconds = longer
        own = math.log1p(ahead.variance / ahead.mean**2) if ahead.mean > 0 else 0.0
        excess = max(self._waits.variance - self._expected_variance, 0.0)
        return Eta(seconds, self._waits.mean, math.sqrt(max(own + excess, LEAST_VARIANCE)))

    def wait_for(self, work: Work, steps_per_s: float) -> Eta:
        """The time that so much work takes to start, whatever else comes.

        What single waits have taught is about order, and order does not matter for all together; how fast the
        queue shortens is measured, and known to about a fifth.
        """
        own = math.log1p(work.variance / work.mean**2) if work.mean > 0 else 0.0
        return Eta(work.mean / steps_per_s, 0.0, math.sqrt(own + DRAIN_VARIANCE))

    def waited(self, actual_s: float, predicted: Eta, ahead: Work) -> None:
        """A wait that was predicted has ended."""
        self._waits.note(actual_s + EPSILON_S, predicted.seconds + EPSILON_S)
        own = math.log1p(ahead.variance / ahead.mean**2) if ahead.mean > 0 else 0.0
        self._expected_variance += WEIGHT * (own - self._expected_variance)

    @property
    def pace(self) -> float:
        """What services took over what was expected of them, a mean."""
        return math.exp(self._pace.mean)

    def served(self, actual_s: float, expected_s: float) -> None:
        """A service of known length has ended."""
        if actual_s > 0.0 and expected_s > 0.0:
            self._pace.note(actual_s, expected_s)


def probability_in_time(eta: Eta, left_s: float, services_s: FloatArray, weights: FloatArray) -> float:
    """P(wait + service <= left_s), the service having these outcomes (seconds) with these weights."""
    return sum(
        float(weight) * eta.within(left_s - float(service_s))
        for service_s, weight in zip(services_s, weights, strict=True)
    )
