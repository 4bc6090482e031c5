"""How many requests wait, sampled while a load runs. PURE."""

from __future__ import annotations

from collections.abc import Sequence


class QueueWatch:
    """Collects (instant, number waiting) and averages over time."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []

    def add(self, at: float, num_waiting: float) -> None:
        """Record that `num_waiting` waited at `at` (Unix seconds, not before the last sample)."""
        self._samples.append((at, num_waiting))

    @property
    def samples(self) -> tuple[tuple[float, float], ...]:
        """All samples, in order of time."""
        return tuple(self._samples)

    def mean(self, started_at: float, ended_at: float) -> float:
        """Time average over the window; 0 where nothing was sampled."""
        return time_average(self._samples, started_at, ended_at)


def time_average(samples: Sequence[tuple[float, float]], started_at: float, ended_at: float) -> float:
    """Average over a window of a step function: (instant, value from then on); 0 before the first.

    Args:
        samples: in order of time.
        started_at: start of the window.
        ended_at: its end.
    """
    if not samples or ended_at <= started_at:
        return 0.0
    area = 0.0
    ends = [at for at, _ in samples[1:]] + [ended_at]
    for (begin, value), end in zip(samples, ends, strict=True):
        area += value * max(0.0, min(end, ended_at) - max(begin, started_at))
    return area / (ended_at - started_at)
