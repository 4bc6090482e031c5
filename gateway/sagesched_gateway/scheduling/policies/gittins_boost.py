"""`gittins-boost`, the default: by arrival, with a head start from the whole distribution.

    key = arrival − iteration_s · boost_γ(S)                         [seconds]

with S the service in engine steps (`cost`), boost as in `boost`, and γ = tail_weight / backlog, the same for
every waiting job at a time (`tail_rate`). Gittins alone is best for the mean and multiplies p99 in overload;
a hard promotion after some wait collapses to first come, first served. A head start in *time* does neither:
it orders like Gittins among requests that came within each other's boosts and like arrival beyond. New here;
the knob is `tail_weight`.

*Limit cases.* Small `tail_weight` or long queues: Gittins order on S. Large `tail_weight` or an empty queue:
first come, first served. Bound on overtaking: see `tail_rate`.

*When keys move.* When γ moves to another grid point, or when the engine's step time has drifted by more than
`STEP_TOLERANCE`: the measured step time trembles all the time, and a head start is no more exact than its
prediction.
"""

from __future__ import annotations

from sagesched_gateway.scheduling.boost import gittins_boost
from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView
from sagesched_gateway.scheduling.tail_rate import GAMMA_GRID, TailRate

STEP_TOLERANCE = 0.1


class GittinsBoost(Policy):
    """Arrival minus a head start that follows the backlog."""

    name = "gittins-boost"
    num_columns = GAMMA_GRID.size

    def __init__(self, tail_weight: float = 1.0) -> None:
        self._tail_rate = TailRate(tail_weight)
        self._view = KeyView(column=self._tail_rate.column, arrival_weight=1.0, scale=0.0)

    def row(self, facts: JobFacts) -> FloatArray:
        """Boosts in engine steps, one per grid point."""
        return gittins_boost(facts.steps, facts.weights, GAMMA_GRID)

    def view(self, moment: Moment) -> KeyView:
        """The column of the tail rate in force, scaled to seconds."""
        column = self._tail_rate.follow(moment.backlog_steps)
        step_s = -self._view.scale
        if abs(moment.iteration_s - step_s) > STEP_TOLERANCE * step_s:
            self._view = KeyView(column, arrival_weight=1.0, scale=-moment.iteration_s)
        elif column != self._view.column:
            self._view = self._view._replace(column=column)
        return self._view

    @property
    def gamma_per_step(self) -> float:
        """The tail rate in force, 1 / engine steps."""
        return self._tail_rate.gamma
