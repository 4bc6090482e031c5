"""`sagesched`: the Gittins index of the memory-time cost (Gan et al., arXiv 2603.07917).

    key = G(C(I, O)),  C(I, O) = O²/2 + I·O; ties by arrival         [KV-token-steps]

with O the predicted distribution of output tokens and G as in `gittins`. The paper uses the one cost for
memory-bound and compute-bound engines alike and leaves prefill out; so does this policy, which bears the
paper's name. It refreshes the index of *running* requests each 200 tokens in order to preempt; a gateway does
not preempt, so only the index at consumed cost 0 matters. The paper has no ageing: in overload expensive
requests wait as long as cheaper ones come.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.cost import kv_token_steps
from sagesched_gateway.scheduling.gittins import gittins_index
from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

_BY_INDEX = KeyView()


class SageSched(Policy):
    """Smallest Gittins index of cost first."""

    name = "sagesched"

    def row(self, facts: JobFacts) -> FloatArray:
        """The index at nothing consumed."""
        costs = kv_token_steps(float(facts.prompt_tokens), facts.tokens)
        return np.array([gittins_index(costs, facts.weights)])

    def view(self, moment: Moment) -> KeyView:
        """The index alone, always."""
        return _BY_INDEX
