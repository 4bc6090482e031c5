"""`DrainBudget`: how long a drain may take.

At most `drain.maxSeconds`. With `drain.quantile`, no longer than what is in flight when it begins needs with
that probability: one answer that has gone astray does not hold up the pod for all of `maxSeconds`. What waits
and cannot be done by then is refused at once, for another replica to take (`scheduling.drain`).
"""

from __future__ import annotations

from collections.abc import Callable

from sagesched_gateway.settings.sections.drain import DrainConfig

LEAST_S = 5.0
"""Also for answers that are all but done: the time of an iteration is measured, not known."""


class DrainBudget:
    """One gateway's."""

    def __init__(self, until_ended_s: Callable[[float], float], clock: Callable[[], float]) -> None:
        """Prepare.

        Args:
            until_ended_s: seconds after which all in flight has ended with a probability.
            clock: seconds, monotonic.
        """
        self._until_ended_s = until_ended_s
        self._clock = clock
        self._ends_at: float | None = None

    def begin(self, config: DrainConfig) -> float:
        """Seconds for a drain that begins now; from here on they run."""
        if self._ends_at is None:
            self._ends_at = self._clock() + self._whole(config)
        return self.seconds(config)

    def seconds(self, config: DrainConfig) -> float:
        """Seconds that a drain has left; while there is none, what one would be given that began now."""
        if self._ends_at is not None:
            return max(self._ends_at - self._clock(), 0.0)
        return self._whole(config)

    def _whole(self, config: DrainConfig) -> float:
        if config.quantile is None:
            return config.max_s
        return min(max(self._until_ended_s(config.quantile), LEAST_S), config.max_s)
