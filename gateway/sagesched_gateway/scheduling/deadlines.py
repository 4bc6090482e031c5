"""Requests that must be done by an instant: which to refuse at the door, which to give up later.

- *At the door*: refused when P(wait + service ≤ what is left) < `refuse_below`, the wait from `eta`, the
  service from the predicted length. Judged once, when the prediction is there (or none will come).
- *While waiting*: given up at the instant after which even a start at once would be in time with a
  probability below `drop_below`: deadline − that quantile of the service. The engine's time goes to others
  who can still make it. What runs is left to run.
"""

from __future__ import annotations

import heapq
import math

from sagesched_gateway.scheduling.eta import FloatArray

TOO_LATE = "deadline-unreachable"
GIVEN_UP = "deadline-passed"


class Deadlines:
    """Instants at which waiting jobs must be given up.

    Attributes:
        next_at: the next one; infinity when there is none.
    """

    def __init__(self) -> None:
        self.next_at = math.inf
        self._due: list[tuple[float, str]] = []

    def expect(self, job_id: str, give_up_at: float) -> None:
        """Note that a job must be given up then, if it still waits."""
        heapq.heappush(self._due, (give_up_at, job_id))
        self.next_at = self._due[0][0]

    def due(self, now: float) -> list[str]:
        """Take out the jobs whose instant has come, earliest first."""
        ids = []
        while self._due and self._due[0][0] <= now:
            ids.append(heapq.heappop(self._due)[1])
        self.next_at = self._due[0][0] if self._due else math.inf
        return ids


def give_up_at(deadline_at: float, services_s: FloatArray, weights: FloatArray, drop_below: float) -> float:
    """The last instant at which a start is in time with probability `drop_below` or more.

    Args:
        deadline_at: seconds.
        services_s: outcomes of the service, seconds, increasing.
        weights: their probabilities.
        drop_below: in [0, 1].
    """
    reached = 0.0
    for service_s, weight in zip(services_s, weights, strict=True):
        reached += float(weight)
        if reached >= drop_below:
            return deadline_at - float(service_s) if drop_below > 0.0 else deadline_at
    return deadline_at - float(services_s[-1])
