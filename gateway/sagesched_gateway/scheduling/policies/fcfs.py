"""`fcfs`: first come, first served.

    key = arrival                                                    [seconds]

What the engine itself does, and the measure of all others. Nobody passes a head that is blocked on KV blocks,
since the engine's own queue would not let anybody pass either: order and timing equal sending everything
straight to it.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import BY_ARRIVAL, KeyView

_NOTHING: FloatArray = np.zeros(1)


class Fcfs(Policy):
    """First come, first served."""

    name = "fcfs"
    may_pass = False

    def row(self, facts: JobFacts) -> FloatArray:
        """No offset."""
        return _NOTHING

    def view(self, moment: Moment) -> KeyView:
        """Arrival alone, always."""
        return BY_ARRIVAL
