"""`mean-service`: smallest expected engine time first.

    key = E[S],  S = service of `scheduling/cost.py`; ties by arrival    [engine steps]

As `mean-cost`, with what the engine really spends on a request: prefill counts, and so does the share of a
slot where slots are scarcer than memory. The difference between the two is what the SageSched paper's cost
leaves out, which is most where a long prompt has a short answer.

*Left open*: nothing; S is the service that `gittins-boost` goes by.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

_BY_SERVICE = KeyView()


class MeanService(Policy):
    """Smallest expected service first."""

    name = "mean-service"

    def row(self, facts: JobFacts) -> FloatArray:
        """Expected engine steps."""
        return np.array([facts.mean_steps])

    def view(self, moment: Moment) -> KeyView:
        """By service, always."""
        return _BY_SERVICE
