"""`srpt`: shortest remaining output first, by the true length: an oracle.

    key = O − g; ties by arrival                                     [tokens]

What length-based policies would do if they knew. It counts steps, not memory: where KV is scarce a policy by
memory-time can beat it.
"""

from __future__ import annotations

from sagesched_predictor.distribution import LengthDistribution
from sagesched_replay.inside.policy import InsidePolicy


class Srpt(InsidePolicy):
    """Shortest true remainder first."""

    def arrived(self, index: int, lengths: LengthDistribution) -> None:
        """Nothing is predicted for an oracle."""

    def prepare(self, now: float) -> None:
        """What remains of each."""
        self.jobs.key[:] = self.jobs.output - self.jobs.generated
