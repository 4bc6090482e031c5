"""`fcfs`: first come, first served.

    key = arrival                                                    [seconds]

What the engine itself does, and the measure of all others: through the gateway with `fcfs` should be as
without it. So nobody passes a head that is blocked on KV blocks (the engine's own queue lets nobody pass),
and the ledger is greedy, leaving the least headroom instead of that which spares the engine pauses (see
`admission`; setting the headroom in `EngineCapacity` gives it to this policy too).
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
    greedy = True

    def row(self, facts: JobFacts) -> FloatArray:
        """No offset."""
        return _NOTHING

    def view(self, moment: Moment) -> KeyView:
        """Arrival alone, always."""
        return BY_ARRIVAL
