"""`svf`: smallest volume first (Kong, Qi, Ye, Zhou, arXiv 2606.22327).

    key = s·o + (o² + o)/2; ties by arrival                          [KV-token-steps]

with s the prompt and o a point estimate of the output: KV held per step, summed over the steps, exactly.

*Left open*: which point of a predicted distribution o is. The mean, as for `ssjf`. The paper adds the KV
admission of its own predecessor (MC-SF) and backs it with an eviction when the estimate was too low; here
admission is the ledger's, the same for all policies. The one-bit variant (a class short or long in place of
o) throws information away that all others get, so it is not run.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

_BY_VOLUME = KeyView()


class Svf(Policy):
    """Smallest volume of the expected output first."""

    name = "svf"

    def row(self, facts: JobFacts) -> FloatArray:
        """Volume at the expected length."""
        o = facts.mean_tokens
        return np.array([facts.prompt_tokens * o + (o * o + o) / 2])

    def view(self, moment: Moment) -> KeyView:
        """By volume, always."""
        return _BY_VOLUME
